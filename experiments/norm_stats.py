"""Normalisation statistics of a dataset, as openpi's norm_stats.json.

    python -m experiments.norm_stats --out=norm_stats.json
        --config.data.source=auto --config.data.path=FOLDER
        [--config.data.padding=clamp] [--config.policy.delta_mask=6,-1]

They are of the states and of the chunks of actions that the same settings train on,
repeats at the end included, after actions are made relative to the state. Training uses
them by `--config.data.norm_stats=norm_stats.json` with
`--config.data.normalization=mean_std` (pi0) or `quantiles` (pi0.5).
"""

from pathlib import Path
from typing import Iterator

import numpy as np
from absl import flags, logging

from data_pipelines.readers import READERS, detect
from data_pipelines.running_statistics import RunningStatistics
from experiments.configs.schema import ExperimentConfig, from_config
from experiments.pipeline.demonstrations import normalized_words
from experiments.reporting import errors, progress
from omnivla_jax.core import action_chunks
from omnivla_jax.core.types import Demonstration
from omnivla_jax.policy import norm_stats, normalize
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.norm_stats import VectorStats

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "quickstart.py"))
_OUT = flags.DEFINE_string("out", norm_stats.FILE, "File to write.")


def main(argv: list[str]) -> None:
    """Read the dataset once and write the file."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    config, out = from_config(_CONFIG.value), Path(_OUT.value).expanduser()
    norm_stats.check_absent(out)
    state, actions, count = measure(
        demonstrations(config), config.policy, padding=config.data.padding
    )
    norm_stats.write(out, state=state, actions=actions)
    progress.note("Stored", f"statistics of {count} demonstrations in {out}")


def demonstrations(config: ExperimentConfig) -> Iterator[Demonstration]:
    """Those of the config's dataset that it trains on, one at a time.

    Raises ValueError where it names no dataset.
    """
    data = config.data
    if data.path is None:
        raise ValueError(
            "Statistics are of a dataset: give --config.data.source=auto "
            "--config.data.path=FOLDER."
        )
    source = detect(data.path) if data.source == "auto" else data.source
    every, wanted = data.all_tasks or not config.simulated, set[str]()
    if not every:
        tasks = config.task_table.tasks
        wanted = {normalized_words(tasks[row].instruction) for row in config.tasks}
    for demonstration in READERS[source](data.path, options=data.options):
        if every or normalized_words(demonstration.instruction) in wanted:
            yield demonstration


def measure(
    episodes: Iterator[Demonstration], config: PolicyConfig, *, padding: str
) -> tuple[VectorStats, VectorStats, int]:
    """The statistics of states and actions as they are trained on.

    Args:
      episodes: at least one.
      config: of the policy; its `horizon` and `delta_mask` count.
      padding: the rule for the last chunks, one of `action_chunks.PADDINGS`.

    Returns:
      Of the states, of the actions, and the number of episodes.

    Raises:
      ValueError: no frame is trained on, or sizes differ from the config's.
    """
    sizes = config.robot_proprio_dim, config.robot_action_dim
    states, actions = map(RunningStatistics, sizes)
    count = 0
    for episode in episodes:
        widths = episode.state.shape[1], episode.action.shape[1]
        if widths != sizes:
            raise ValueError(
                f"Demonstration {count} has {widths[0]} state and {widths[1]} action "
                f"dimensions, but the policy {sizes[0]} and {sizes[1]}: set "
                "policy.proprio_dim and action_dim."
            )
        chunks = action_chunks.chunk_targets(episode.action, config.horizon, padding)
        state = np.asarray(episode.state)[: len(chunks)]
        chunks = normalize.delta_actions(chunks, state, config.delta_mask)
        mask = action_chunks.loss_mask(len(episode.action), config.horizon, padding)
        trained = chunks.reshape(-1, sizes[1]) if mask is None else chunks[mask]
        states.update(state)
        actions.update(trained)
        count += 1
    if not states.count:
        raise ValueError(
            "There is no frame to train on: choose tasks or instructions that the "
            "dataset has (--config.data.all_tasks takes all), or another padding."
        )
    return VectorStats(**states.result()), VectorStats(**actions.result()), count


if __name__ == "__main__":
    errors.run(main)
