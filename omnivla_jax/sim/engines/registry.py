"""The engines by name, and the two calls that the environment makes of a scene's.

Axes: B environments, F bodies whose pose is data.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim.assets.arenas import BASE_BODY
from omnivla_jax.sim.engines import mjx_warp, mujoco
from omnivla_jax.sim.engines.base import Engine
from omnivla_jax.sim.engines.mjx import engine as mjx
from omnivla_jax.sim.state import PhysicsState, Scene

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (mjx.ENGINE, mujoco.ENGINE, mjx_warp.ENGINE)
}


def select(name: str) -> Engine:
    """Return the engine `name`; `auto` is `mujoco` on a CPU and `mjx` elsewhere.

    Raises:
      ValueError: naming the unknown engine and the known ones.
    """
    if name == "auto":
        name = "mujoco" if jax.default_backend() == "cpu" else "mjx"
    if name not in ENGINES:
        raise ValueError(
            f"Unknown engine {name!r}: choose one of {['auto', *ENGINES]}."
        )
    return ENGINES[name]


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

    Returns:
      The state after the control step.
    """
    chex.assert_equal_shape([task, active, physics.gripper])
    return ENGINES[scene.engine].control_step(scene, physics, task, action, active)


def init_state(
    scene: Scene,
    task: jax.Array,
    qpos: jax.Array,
    qvel: jax.Array,
    fixture_pos: jax.Array,
    fixture_quat: jax.Array,
) -> PhysicsState:
    """Return the state after LIBERO's reset and `set_init_state`, the arm at rest.

    Args:
      scene: the static tables, which name the engine.
      task: int32 [B].
      qpos: float32 [B, nq]; qvel: float32 [B, nv].
      fixture_pos: float32 [B, F, 3]; fixture_quat: float32 [B, F, 4] wxyz.

    Returns:
      The state of a batch of B, poses of bodies and contacts computed.
    """
    batch, model = qpos.shape[0], scene.model
    chex.assert_shape([qpos, qvel], [(batch, model.nq), (batch, model.nv)])
    home_mat = jnp.asarray(scene.home_mat, jnp.float32)
    base = jnp.asarray(fixture_pos, jnp.float32)[:, scene.posed_bodies.index(BASE_BODY)]
    state = PhysicsState(
        qpos=jnp.asarray(qpos, jnp.float32),
        qvel=jnp.asarray(qvel, jnp.float32),
        warmstart=jnp.zeros((batch, model.nv)),
        fixture_pos=jnp.asarray(fixture_pos, jnp.float32),
        fixture_quat=jnp.asarray(fixture_quat, jnp.float32),
        goal_pos=base + jnp.asarray(scene.home_offset, jnp.float32),
        goal_mat=jnp.tile(home_mat, (batch, 1, 1)),
        gripper=jnp.zeros(batch),
        fresh=jnp.ones(batch, bool),
        xpos=jnp.zeros((batch, model.nbody, 3)),
        xquat=jnp.zeros((batch, model.nbody, 4)),
        touching=jnp.zeros((batch, len(scene.contact_pairs)), bool),
        overflow=jnp.zeros(batch, jnp.int32),
    )
    return ENGINES[scene.engine].forward(scene, state, task)
