"""Chooses the engine behind the one contract `control_step(scene, state, action)`."""

import jax
import jax.numpy as jnp

from omnivla_jax.sim.assets.arenas import BASE_BODY
from omnivla_jax.sim.engines import mujoco as engine_mujoco
from omnivla_jax.sim.engines.mjx import engine as engine_mjx
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import PhysicsState

_ENGINES = {"mjx": engine_mjx, "mujoco": engine_mujoco}


def control_step(
    scene: Scene,
    physics: PhysicsState,
    task: jax.Array,
    action: jax.Array,
    active: jax.Array,
) -> PhysicsState:
    """Advance the active environments by 50 ms.

    Args:
      scene: the static tables, which name the engine.
      physics: the batch's state.
      task: int32 [B].
      action: float32 [B, 7]: LIBERO's OSC_POSE command, clipped to [-1, 1].
      active: bool [B]; the others keep their state.
    """
    return _ENGINES[scene.engine].control_step(scene, physics, task, action, active)


def restored(
    scene: Scene,
    task: jax.Array,
    qpos: jax.Array,
    qvel: jax.Array,
    fixture_pos: jax.Array,
    fixture_quat: jax.Array,
) -> PhysicsState:
    """A state as after LIBERO's reset and `set_init_state`: poses known, arm at rest.

    Args:
      scene: the static tables.
      task: int32 [B].
      qpos: float32 [B, nq]; qvel: float32 [B, nv].
      fixture_pos: float32 [B, F, 3]; fixture_quat: float32 [B, F, 4] wxyz.
    """
    batch, bodies = qpos.shape[0], scene.model.nbody
    home_mat = jnp.asarray(scene.home_mat, jnp.float32)
    base = jnp.asarray(fixture_pos, jnp.float32)[:, scene.posed.index(BASE_BODY)]
    state = PhysicsState(
        qpos=jnp.asarray(qpos, jnp.float32),
        qvel=jnp.asarray(qvel, jnp.float32),
        warmstart=jnp.zeros((batch, scene.model.nv)),
        fixture_pos=jnp.asarray(fixture_pos, jnp.float32),
        fixture_quat=jnp.asarray(fixture_quat, jnp.float32),
        goal_pos=base + jnp.asarray(scene.home_offset, jnp.float32),
        goal_mat=jnp.tile(home_mat, (batch, 1, 1)),
        gripper=jnp.zeros(batch),
        fresh=jnp.ones(batch, bool),
        xpos=jnp.zeros((batch, bodies, 3)),
        xquat=jnp.zeros((batch, bodies, 4)),
        touching=jnp.zeros((batch, len(scene.contact_pairs)), bool),
        overflow=jnp.zeros(batch, jnp.int32),
    )
    return _ENGINES[scene.engine].forward(scene, state, task)
