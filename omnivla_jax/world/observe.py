"""Joins simulator and renderer: what the policy sees of a state.

Axes: B environments, V camera views, S image side, L language tokens, N instructions.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Observation
from omnivla_jax.render import render as renderer
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState, Physics
from omnivla_jax.world import proprioception
from omnivla_jax.world.look import Look, body_rotations, camera

POLICY_SUPERSAMPLE = 1


def observe(
    scene: Scene,
    look: Look,
    state: EnvState,
    tokens: jax.Array,
    token_mask: jax.Array,
    *,
    size: int,
) -> Observation:
    """The observation of every environment.

    Args:
      scene: the static tables.
      look: shapes, materials, lights and cameras.
      state: the batch.
      tokens: int32 [B, L]: what each environment is told; token_mask: bool [B, L].
      size: image side in pixels.
    """
    return Observation(
        images=images(look, state.physics, size=size),
        tokens=tokens,
        token_mask=token_mask,
        state=proprioception.policy_state(scene, state),
    )


def images(
    look: Look,
    physics: Physics,
    *,
    size: int,
    shadows: bool = False,
    supersample: int = POLICY_SUPERSAMPLE,
) -> jax.Array:
    """uint8 [B, V, S, S, 3]: every camera's upright picture of every environment."""
    rotations = body_rotations(physics)

    def view(mount: int) -> jax.Array:
        seen_from = camera(look.cameras[mount], physics)

        def draw(
            position: jax.Array, rotation: jax.Array, viewpoint: renderer.Camera
        ) -> jax.Array:
            return renderer.render(
                look.shapes,
                look.materials,
                look.lights,
                viewpoint,
                position,
                rotation,
                size=size,
                outputs=("rgb",),
                shadows=shadows,
                supersample=supersample,
            ).rgb

        return jax.vmap(draw)(physics.xpos, rotations, seen_from)

    return jnp.stack([view(index) for index in range(len(look.cameras))], axis=1)
