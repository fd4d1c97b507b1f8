"""Joins simulator and renderer: what the policy sees of a state.

Axes: B environments, V camera views, S image side, L language tokens.
"""

from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Observation
from omnivla_jax.render import corruptions
from omnivla_jax.render import render as renderer
from omnivla_jax.render.types import Image
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState, PhysicsState
from omnivla_jax.world import proprioception
from omnivla_jax.world.visual_scene import Look, body_rotations, camera

POLICY_SUPERSAMPLE = 1
AGENT = 0  # the view that LIBERO-Plus corrupts


class ImageCorruption(NamedTuple):
    """How bad each environment's agent camera is, see `render.noise`."""

    number: jax.Array  # int32 [B]: 0 for a good one, to 50
    key: jax.Array  # typed keys [B], of this frame: noise is drawn afresh every frame


def observe(
    scene: Scene,
    look: Look,
    state: EnvState,
    tokens: jax.Array,
    token_mask: jax.Array,
    *,
    size: int,
    sensor: ImageCorruption | None = None,
) -> Observation:
    """The observation of every environment.

    Args:
      scene: the static tables.
      look: shapes, materials, lights and cameras.
      state: the batch.
      tokens: int32 [B, L]: what each environment is told; token_mask: bool [B, L].
      size: image side in pixels.
      sensor: corruption of the agent view; None draws without.
    """
    seen = images(look, state.physics, size=size)
    return Observation(
        images=seen if sensor is None else corrupted(seen, sensor),
        tokens=tokens,
        token_mask=token_mask,
        state=proprioception.policy_state(scene, state),
    )


def images(
    look: Look,
    physics: PhysicsState,
    *,
    size: int,
    shadows: bool = False,
    supersample: int = POLICY_SUPERSAMPLE,
) -> jax.Array:
    """uint8 [B, V, S, S, 3]: every camera's upright picture of every environment."""
    return render_images(
        look,
        physics,
        size=size,
        outputs=("rgb",),
        shadows=shadows,
        supersample=supersample,
    ).rgb


def render_images(
    look: Look,
    physics: PhysicsState,
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
    views, batch = len(look.cameras), physics.xpos.shape[0]

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

    drawn = _mapped(draw, _each(look, physics), chunk)
    return jax.tree.map(lambda leaf: leaf.reshape(batch, views, *leaf.shape[1:]), drawn)


def corrupted(images: jax.Array, sensor: ImageCorruption) -> jax.Array:
    """uint8 [B, V, S, S, 3] with LIBERO-Plus' noise on the agent views, S <= 256.

    Applied to LIBERO's upside-down frame, as there: a motion blur has a direction.
    Raises ValueError on numbers, unless traced, of no corruption.
    """
    corruptions.check(sensor.number)

    def one(row: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        key, picture, number = row
        frame = convert_image_convention(picture, "libero")
        return convert_image_convention(
            corruptions.corrupt(key, frame, number), "libero"
        )

    rows = (sensor.key, images[:, AGENT], sensor.number)
    if jax.default_backend() == "cpu":
        return images.at[:, AGENT].set(jax.lax.map(one, rows))
    return images.at[:, AGENT].set(jax.vmap(one)(rows))


def _each(look: Look, physics: PhysicsState) -> dict[str, Any]:
    """What differs from picture to picture, leaves [B * V, ...]."""
    seen = [camera(mount, physics) for mount in look.cameras]
    posed = (physics.xpos, body_rotations(physics))
    moving = {
        "camera": jax.tree.map(_interleaved, *seen),
        "posed": _repeated(posed, len(seen)),
    }
    if look.materials.rgb.ndim == 3:
        moving["materials"] = _repeated(look.materials, len(seen))
    if look.lights.ambient.ndim == 2:
        moving["lights"] = _repeated(look.lights, len(seen))
    return moving


def _interleaved(*leaves: jax.Array) -> jax.Array:
    # View after view of one environment: whoever splits the work splits it evenly.
    return jnp.stack(leaves, axis=1).reshape(-1, *leaves[0].shape[1:])


def _repeated(tree: Any, times: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), tree)


def _mapped(draw: Any, moving: Any, chunk: int | None) -> Image:
    if chunk is None or jax.default_backend() == "cpu":
        return jax.vmap(draw)(moving)
    return jax.lax.map(draw, moving, batch_size=chunk)
