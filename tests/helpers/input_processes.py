"""One of two processes that make their rows of streamed batches.

python -m tests.helpers.input_processes ADDRESS PROCESS
"""

import sys

import jax
import numpy as np
from jax.experimental import multihost_utils

from data_pipelines import streaming
from omnivla_jax.core import sharding
from omnivla_jax.train import input_feed
from tests.helpers import reaching

SIZE, STEPS, PROCESSES = 8, 3, 2


def stream(rows):
    frames = streaming.TrainingFrames(
        reaching.demonstrations(), reaching.TEXTS, horizon=4, padding="mask", seed=0
    )
    return streaming.BatchStream(frames, SIZE, rows=rows)


def main(address: str, process: str) -> None:
    """The batches of both are the whole, and each has made its half of them."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, PROCESSES, int(process))
    mesh = sharding.make_mesh(data=4, fsdp=2)
    rows = input_feed.local_rows(mesh, SIZE)
    assert len(rows) == SIZE // PROCESSES, rows
    every = multihost_utils.process_allgather(rows, tiled=True)
    assert sorted(every.tolist()) == list(range(SIZE)), every
    ours, whole = stream(rows), stream(None)
    for _ in range(4):
        placed = input_feed.put_rows(
            streaming.stack_batches(ours, STEPS), rows, mesh=mesh, size=SIZE
        )
        found = multihost_utils.process_allgather(placed, tiled=True)
        expected = streaming.stack_batches(whole, STEPS)
        jax.tree.map(np.testing.assert_array_equal, found, expected)


if __name__ == "__main__":
    main(*sys.argv[1:])
