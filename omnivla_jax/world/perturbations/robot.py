"""The arm's initial joints: LIBERO-Plus' five hundred, and random ones of any radius.

LIBERO-Plus changes the joints of the robot's class. Its evaluators then restore a
recorded state, which puts the arm back; what stays is the pose that the controller
holds at first, so that the hand moves there during the ten waiting steps. `goal` is
that; `arm` really starts the arm elsewhere. The posture that the controller prefers
among those with the same hand pose stays the nominal one here.

Source: LIBERO-Plus, `envs/robots/new_init.py`. Axes: B environments.
"""

import dataclasses
import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.goals import task_ids
from omnivla_jax.sim.state import EnvState, PhysicsState, Scene, choose
from omnivla_jax.world.perturbations import kinds

COUNT = 500
MAX_RADIUS = 0.5  # rad, norm of the seven offsets
RADII = (0.1, 0.2, 0.3, 0.4, 0.5)  # rad, of a hundred states each
_SEED = 42  # of NumPy's legacy generator
_OCTANTS = 8  # signs of the first three joints, of which some are held out


class RobotStart(NamedTuple):
    """Offsets from the nominal joints, rad; zeros change nothing."""

    arm: jax.Array  # float32 [B, 7]: of where the arm is
    goal: jax.Array  # float32 [B, 7]: of the joints whose hand pose is held at first


@functools.cache
def published_offsets() -> np.ndarray:
    """LIBERO-Plus' offsets of the initial joints.

    Returns:
      float64 [500, 7], rad; those of initial state K in row K - 1.
    """
    random = np.random.RandomState(_SEED)
    drawn = random.randn(COUNT, panda.NUM_JOINTS)
    # Row by row, as the norm of a whole table differs in its last bits.
    directions = np.array([row / np.linalg.norm(row) for row in drawn])
    return directions * np.repeat(RADII, COUNT // len(RADII))[:, None]


def no_change(batch: int) -> RobotStart:
    """The nominal start of `batch` environments."""
    zeros = jnp.zeros((batch, panda.NUM_JOINTS))
    return RobotStart(zeros, zeros)


def draw(
    keys: jax.Array,
    active: jax.Array,
    *,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> RobotStart:
    """Draw joints at a distance of `severity` times MAX_RADIUS, where active.

    Args:
      keys, severity, split: as of `perturbation.draw`; some signs of the first three
        joints are held out.
      active: bool [B, 1].

    Returns:
      The arm starts there and is held there.
    """
    chex.assert_shape(active, (len(keys), 1))

    def one(key: jax.Array) -> jax.Array:
        direction_key, octant_key = jax.random.split(key)
        direction = jax.random.normal(direction_key, (panda.NUM_JOINTS,))
        octant = kinds.pick(octant_key, _OCTANTS, split)
        signs = 1.0 - 2.0 * ((octant >> jnp.arange(3)) & 1)
        direction = direction.at[:3].set(signs * jnp.abs(direction[:3]))
        return direction / jnp.linalg.norm(direction)

    radius = MAX_RADIUS * jnp.broadcast_to(severity, keys.shape) * active[:, 0]
    offset = radius[:, None] * jax.vmap(one)(keys)
    return RobotStart(offset, offset)


def start(scene: Scene, state: EnvState, change: RobotStart) -> EnvState:
    """Move the arm and what its controller holds, before the waiting steps.

    Args:
      scene: the static tables.
      state: B fresh episodes.
      change: leaves [B, 7].

    Returns:
      The episodes, the same bits where nothing changes.
    """
    rows = task_ids.rows(scene, state.task)
    joints = slice(panda.NUM_JOINTS)

    def posed(qpos: jax.Array) -> PhysicsState:
        at = dataclasses.replace(state.physics, qpos=qpos)
        return ENGINES[scene.engine].forward(scene, at, rows)

    home = jnp.asarray(panda.HOME, jnp.float32) + change.goal
    hand = scene.bodies[panda.EEF_BODY]
    held = posed(state.physics.qpos.at[:, joints].set(home))
    goal = (held.xpos[:, hand], rotation.matrix(held.xquat[:, hand], jnp))
    physics = choose(
        jnp.any(change.arm != 0, axis=-1),
        posed(state.physics.qpos.at[:, joints].add(change.arm)),
        state.physics,
    )
    goal_pos, goal_mat = choose(
        jnp.any(change.goal != 0, axis=-1), goal, (physics.goal_pos, physics.goal_mat)
    )
    return dataclasses.replace(
        state,
        physics=dataclasses.replace(physics, goal_pos=goal_pos, goal_mat=goal_mat),
    )
