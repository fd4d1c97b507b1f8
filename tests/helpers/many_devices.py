"""One online step on a mesh of eight devices: what `placement_test.py` runs apart.

    python -m tests.helpers.many_devices OUT                       one process
    python -m tests.helpers.many_devices OUT ADDRESS PROCESS       one of two

Writes OUT, an npz: the loss and the new parameters of a step on the mesh as "mesh/...",
and of the same step on one device as "alone/..." where one process holds all eight.
"""

import dataclasses
import sys

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jax.experimental import multihost_utils

from omnivla_jax.core import sharding
from omnivla_jax.train import online, rng
from omnivla_jax.train import sharding as train_sharding
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import reaching
from tests.train.online.step_test import POLICY, SAMPLER, SETTINGS, TASKS, fresh

MESH = {"data": 2, "fsdp": 2, "tensor": 2}
PROCESSES = 2
# Adam turns the rounding of a gradient near 0, here up to 6e-8, into a part of its
# whole step, unless its epsilon is larger.
CONFIG = dataclasses.replace(
    SETTINGS,
    optimizer=OptimizerConfig(learning_rate=1e-4, eps=1e-5),
    groups=4,
    group_size=4,
    chunks=2,
    epochs=1,
    minibatches=1,  # of several, every device draws its part from its own chunks
)


def main(out: str, address: str = "", process: str = "0") -> None:
    """Step on the mesh, and alone; write both."""
    if address:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, PROCESSES, int(process))
    assert len(jax.devices()) == 8, jax.devices()
    found = {"mesh": stepped(sharding.make_mesh(**MESH))}
    if not address:
        found["alone"] = stepped(sharding.make_mesh())
    if jax.process_index() == 0:
        np.savez(out, **flatten_dict(found, sep="/"))


def make_step(mesh, config):
    """The online step of the reaching task on a mesh."""
    return online.make_step(
        reaching.make(POLICY),
        TASKS,
        policy_config=POLICY,
        sampler=SAMPLER,
        config=config,
        mesh_sharding=train_sharding.on_mesh(mesh, POLICY),
    )


def stepped(mesh):
    """The loss and the parameters after one step, the latter by path."""
    state, key = fresh(CONFIG), rng.named_key(0, "online")
    state = train_sharding.shard(state, mesh, POLICY)
    step = make_step(mesh, CONFIG)
    after, metrics = step(state, train_sharding.shard(key, mesh, POLICY))
    params, loss = multihost_utils.process_allgather(
        (after.params, metrics["loss"]), tiled=True
    )
    step(after, train_sharding.shard(key, mesh, POLICY))
    assert step._cache_size() == 1, "retraced"
    return flatten_dict(params, sep="/") | {"loss": loss}


if __name__ == "__main__":
    main(*sys.argv[1:])
