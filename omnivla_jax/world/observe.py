"""Joins simulator and renderer: what the policy sees of a state.

Axes: B environments, V camera views, S image side, L language tokens.
"""

from typing import Any, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Observation
from omnivla_jax.render import render as renderer
from omnivla_jax.render.types import Image
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
    return pictures(
        look,
        physics,
        size=size,
        outputs=("rgb",),
        shadows=shadows,
        supersample=supersample,
    ).rgb


def pictures(
    look: Look,
    physics: Physics,
    *,
    size: int,
    outputs: Sequence[str],
    shadows: bool = False,
    supersample: int = POLICY_SUPERSAMPLE,
    chunk: int | None = None,
) -> Image:
    """Every camera's picture of every environment, leaves [B, V, S, S, ...].

    Args:
      look: its materials, lights and cameras may have a leading axis B: one look per
        environment. Values are data: changing them compiles nothing.
      physics: the batch.
      size, outputs, shadows, supersample: see `render.render`.
      chunk: how many pictures an accelerator draws at once; None draws all. Memory
        is proportional to it. CPUs draw a few at a time anyway.
    """
    seen = [camera(mount, physics) for mount in look.cameras]
    views, batch = len(seen), physics.xpos.shape[0]
    cameras = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *seen)
    posed = (physics.xpos, body_rotations(physics))
    moving = {"camera": cameras, "posed": _repeated(posed, views)}
    if look.materials.rgb.ndim == 3:
        moving["materials"] = _repeated(look.materials, views)
    if look.lights.ambient.ndim == 2:
        moving["lights"] = _repeated(look.lights, views)

    def draw(one: dict[str, Any]) -> Image:
        return renderer.render(
            look.shapes,
            one.get("materials", look.materials),
            one.get("lights", look.lights),
            one["camera"],
            *one["posed"],
            size=size,
            outputs=outputs,
            shadows=shadows,
            supersample=supersample,
        )

    drawn = _mapped(draw, moving, chunk)
    return jax.tree.map(
        lambda leaf: leaf.reshape(views, batch, *leaf.shape[1:]).swapaxes(0, 1), drawn
    )


def _repeated(tree: Any, times: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * times), tree)


def _mapped(draw: Any, moving: Any, chunk: int | None) -> Image:
    if chunk is None or jax.default_backend() == "cpu":
        return jax.vmap(draw)(moving)
    return jax.lax.map(draw, moving, batch_size=chunk)
