"""MJX on a mesh of eight devices, beside C MuJoCo on one: for `placement_test.py`.

python -m tests.helpers.mjx_devices
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import compile as compilation
from omnivla_jax.core import sharding
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.train import environment
from omnivla_jax.train import sharding as train_sharding
from tests.train.online.step_test import POLICY

BATCH, STEPS, SIDE = 8, 3, 16
MESH = {"data": 4, "fsdp": 2}
COLLECTIVES = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"


def main() -> None:
    """Play on both; no device may ask another, and all must end in the same poses."""
    assert len(jax.devices()) == 8, jax.devices()
    scene = scenes.make("libero_goal", engine="mujoco")
    keys = jax.random.split(jax.random.key(0), BATCH)
    start = compilation.jit(lambda: env.reset(scene, jnp.arange(BATCH), keys))()
    expected = player(scene, lambda same: same).lower(start).compile()(start)
    mesh = sharding.make_mesh(**MESH)
    divided = train_sharding.on_mesh(mesh, POLICY).shard_map_batch
    spread = jax.device_put(start, sharding.batch_sharding(mesh))
    scene = scenes.make("libero_goal", engine="mjx")
    program = player(scene, divided).lower(spread).compile()
    asked = re.findall(rf".*(?:{COLLECTIVES})\(.*", program.as_text())
    assert not asked, asked
    found = program(spread)
    for name in ("qpos", "xpos", "goal_pos"):
        ours, theirs = (getattr(end.physics, name) for end in (found, expected))
        np.testing.assert_allclose(ours, theirs, atol=1e-3, err_msg=name)
    moved = np.abs(found.physics.qpos - start.physics.qpos)[:, :7].max(axis=1)
    assert np.all(moved > 1e-2), moved
    assert len(found.physics.qpos.sharding.device_set) == 8
    # What the scene keeps between programs must not be bound to the first one's mesh.
    alone = train_sharding.on_mesh(sharding.make_mesh(), POLICY).shard_map_batch
    jax.eval_shape(player(scene, alone), start)


def player(scene: scenes.Scene, divided):
    """A program of a few control steps to the side, away from things."""
    policy = dataclasses.replace(POLICY, max_tokens=16)
    simulator = environment.simulator(scene, policy, size=SIDE)
    simulator = environment.shard_map_environment(simulator, divided)
    action = jnp.tile(jnp.array([0.3, 0.5, 0.0, 0.1, 0.0, 0.2, 1.0]), (BATCH, 1))

    def one(state: env.EnvState, _: None) -> tuple[env.EnvState, None]:
        return simulator.step(state, action)[0], None

    return compilation.jit(lambda state: jax.lax.scan(one, state, length=STEPS)[0])


if __name__ == "__main__":
    main()
