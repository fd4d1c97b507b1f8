"""The robot's own state as LIBERO's policies read it. Axes: B environments."""

import jax
import jax.numpy as jnp

from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.state import EnvState, Scene

HAND_BODY = "right_hand"


def policy_state(scene: Scene, state: EnvState) -> jax.Array:
    """The proprioception that policies take, as in LIBERO's data.

    Args:
      scene: the static tables.
      state: B environments.

    Returns:
      float32 [B, 8]: grip site (m), hand axis-angle (rad, its angle in [0, 2 pi) and
      not wrapped), finger positions (m).
    """
    position = state.physics.xpos[:, scene.bodies[panda.EEF_BODY]]
    quaternion = state.physics.xquat[:, scene.bodies[HAND_BODY]]
    fingers = state.physics.qpos[:, panda.NUM_JOINTS : panda.NUM_JOINTS + 2]
    turn = rotation.to_axis_angle(quaternion, jnp)
    return jnp.concatenate([position, turn, fingers], axis=-1)
