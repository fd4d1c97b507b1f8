"""Samples initial states as LIBERO's placement sampler does.

Axes: B environments, F fixtures; lengths in m.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.sim import panda
from omnivla_jax.sim.objects import MOVABLES
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.tasks import Placement

ARM_NOISE = 0.02  # rad, standard deviation of the recorded initial states
DROP = 0.01  # m above the resting height of the sampler's bottom site


def sample(scene: Scene, keys: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Initial `qpos` [B, nq], fixture positions [B, F, 3] and quaternions [B, F, 4].

    Args:
      scene: the static tables.
      keys: typed keys [B]; consumed.
    """
    return jax.vmap(lambda key: _sample_one(scene, key))(keys)


def fixture_quaternions(scene: Scene) -> jax.Array:
    """float32 [F, 4]: libero_goal's fixtures have fixed yaws."""
    return jnp.array([row.quaternion for row in scene.suite.fixtures])


def _sample_one(scene: Scene, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    arm_key, movable_key, fixture_key = jax.random.split(key, 3)
    movables, fixtures = scene.suite.movables, scene.suite.fixtures
    arm = jnp.asarray(panda.HOME) + ARM_NOISE * jax.random.normal(
        arm_key, (panda.NUM_JOINTS,)
    )
    qpos = jnp.zeros(scene.model.nq)
    qpos = qpos.at[: panda.NUM_JOINTS].set(arm)
    qpos = qpos.at[panda.NUM_JOINTS : panda.NUM_JOINTS + 2].set(panda.FINGERS_AT_RESET)
    for row, xy in zip(movables, _positions(movables, movable_key)):
        z = scene.arena.workspace_z + DROP - MOVABLES[row.name].bottom
        pose = jnp.concatenate([xy, jnp.array([z]), jnp.array(row.quaternion)])
        start = scene.joints[f"{row.name}_joint"][0]
        qpos = qpos.at[start : start + 7].set(pose)
    heights = jnp.array([scene.arena.fixture_z[row.name] for row in fixtures])
    positions = jnp.concatenate(
        [_positions(fixtures, fixture_key), heights[:, None]], axis=-1
    )
    return qpos, positions, fixture_quaternions(scene)


def _positions(rows: tuple[Placement, ...], key: jax.Array) -> jax.Array:
    centers = jnp.array([row.center for row in rows])
    half = jnp.array([row.half_width for row in rows])[:, None]
    return centers + half * jax.random.uniform(key, centers.shape, minval=-1, maxval=1)
