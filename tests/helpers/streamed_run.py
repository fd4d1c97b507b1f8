"""A streamed stage II on toy sizes, which may kill itself in the middle of an epoch.

    python -m tests.helpers.streamed_run WORKDIR DATA KILLED_AFTER

Axes: K optimizer steps of a call, N frames of a batch.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from data_pipelines.readers import READERS
from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline import training, training_stage
from experiments.pipeline.workdir import Workdir
from omnivla_jax.train import checkpoints, input_feed
from omnivla_jax.train.state import TrainState

CALLS, BATCH = 120, 4  # of 2 optimizer steps each


def make_context(workdir: Path, **changes: Any) -> Any:
    """What `sft_stage` reads of a run's context."""
    raw = quickstart.get_config("debug")
    raw.sft.update(steps=2 * CALLS, batch_size=BATCH, steps_per_call=2)
    raw.data.update(streaming=True, padding="mask")
    raw.update(save_every=6)
    raw.update_from_flattened_dict(changes)
    return SimpleNamespace(config=from_config(raw), workdir=Workdir(workdir), mesh=None)


def digest(batches: Any) -> str:
    """A checksum of every byte of a call's batches."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(batches):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


def train(
    context: Any, data: Path, killed_after: int = 0
) -> tuple[TrainState, list[str]]:
    """Train to the end, and the digests of the batches; or die on the way."""
    digests: list[str] = []
    folder = context.workdir.checkpoints("sft")
    take = input_feed.InputFeed.take

    def recorded(feed: Any, step: jax.Array) -> Any:
        is_time = killed_after and int(step) >= 2 * killed_after
        if is_time and checkpoints.latest(folder):  # saved in the background
            os.kill(os.getpid(), signal.SIGKILL)
        batches, share = take(feed, step)
        digests.append(digest(batches))
        return batches, share

    input_feed.InputFeed.take = recorded  # type: ignore[method-assign, assignment]
    try:
        stage = training.sft_stage(context, None, lambda: list(READERS["rlds"](data)))
        return training_stage.run(context, stage), digests
    finally:
        input_feed.InputFeed.take = take  # type: ignore[method-assign]


if __name__ == "__main__":
    workdir, data, killed_after = sys.argv[1:]
    train(make_context(Path(workdir)), Path(data), int(killed_after))
