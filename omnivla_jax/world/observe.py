"""Joins simulator and renderer: the policy's observation of a state.

Axes: B environments, V camera views, S image side, L language tokens.
"""

import functools
from typing import Any, NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Observation
from omnivla_jax.render import corruptions
from omnivla_jax.render import render as renderer
from omnivla_jax.render.types import Image
from omnivla_jax.sim import rotation
from omnivla_jax.sim.state import EnvState, PhysicsState, Scene
from omnivla_jax.world import proprioception
from omnivla_jax.world.visual_scene import VisualScene, mounted_camera

POLICY_SUPERSAMPLE = 1
AGENT_VIEW = 0  # the view that LIBERO-Plus corrupts


class ImageCorruption(NamedTuple):
    """Corruption of each environment's agent view, see `render.corruptions`."""

    number: jax.Array  # int32 [B]: 0 for none, to 50
    key: jax.Array  # typed keys [B], of this frame: drawn afresh every frame


def observe(
    scene: Scene,
    visuals: VisualScene,
    state: EnvState,
    tokens: jax.Array,
    token_mask: jax.Array,
    *,
    size: int,
    corruption: ImageCorruption | None = None,
) -> Observation:
    """Observe every environment.

    Args:
      scene: the static tables.
      visuals: shapes, materials, lights and cameras.
      state: B environments.
      tokens: int32 [B, L], each environment's instruction.
      token_mask: bool [B, L], False on padding.
      size: image side, pixels.
      corruption: of the agent view; None leaves it.

    Returns:
      images uint8 [B, V, S, S, 3], state float32 [B, 8], and the tokens.
    """
    chex.assert_equal_shape([tokens, token_mask])
    rgb = images(visuals, state.physics, size=size)
    return Observation(
        images=rgb if corruption is None else corrupt_images(rgb, corruption),
        tokens=tokens,
        token_mask=token_mask,
        proprio=proprioception.policy_state(scene, state),
    )


def images(
    visuals: VisualScene,
    physics: PhysicsState,
    *,
    size: int,
    shadows: bool = False,
    supersample: int = POLICY_SUPERSAMPLE,
) -> jax.Array:
    """Render the colours that policies see; `render_images` has the other outputs.

    Args:
      visuals: shapes, materials, lights and V cameras.
      physics: the batch's state.
      size: image side S, pixels.
      shadows: whether the first lamp casts shadows.
      supersample: rays per pixel along each side.

    Returns:
      uint8 [B, V, S, S, 3], upright.
    """
    return render_images(
        visuals,
        physics,
        size=size,
        outputs=("rgb",),
        shadows=shadows,
        supersample=supersample,
    ).rgb


def render_images(
    visuals: VisualScene,
    physics: PhysicsState,
    *,
    size: int,
    outputs: Sequence[str],
    shadows: bool = False,
    supersample: int = POLICY_SUPERSAMPLE,
) -> Image:
    """Render every camera of every environment.

    Args:
      visuals: materials, lights and cameras may have a leading axis B, of each
        environment. Values are data: changing them compiles nothing.
      physics: B environments.
      size, outputs, shadows, supersample: see `render.render`, which draws some
        images at a time: memory does not grow with their number.

    Returns:
      Leaves [B, V, S, S, ...].
    """
    views, batch = len(visuals.cameras), physics.xpos.shape[0]

    # Leaves that differ between images, [B * V, ...], view after view of one
    # environment, so that splitting them splits the work evenly.
    repeat = functools.partial(jax.tree.map, lambda leaf: jnp.repeat(leaf, views, 0))
    cameras = [mounted_camera(mount, physics) for mount in visuals.cameras]
    poses = (physics.xpos, rotation.matrix(physics.xquat, jnp))
    camera = jax.tree.map(
        lambda *leaves: jnp.stack(leaves, axis=1).reshape(-1, *leaves[0].shape[1:]),
        *cameras,
    )
    per_image = {"camera": camera, "poses": repeat(poses)}
    if visuals.materials.rgb.ndim == 3:
        per_image["materials"] = repeat(visuals.materials)
    if visuals.lights.ambient.ndim == 2:
        per_image["lights"] = repeat(visuals.lights)

    def draw(fields: dict[str, Any]) -> Image:
        return renderer.render(
            visuals.shapes,
            fields.get("materials", visuals.materials),
            fields.get("lights", visuals.lights),
            fields["camera"],
            *fields["poses"],
            size=size,
            outputs=outputs,
            shadows=shadows,
            supersample=supersample,
        )

    flat = jax.vmap(draw)(per_image)
    return jax.tree.map(lambda leaf: leaf.reshape(batch, views, *leaf.shape[1:]), flat)


def corrupt_images(images: jax.Array, corruption: ImageCorruption) -> jax.Array:
    """Apply LIBERO-Plus' corruptions to the agent views.

    Applied to LIBERO's upside-down frame, as there: a motion blur has a direction.

    Args:
      images: uint8 [B, V, S, S, 3], S <= 256.
      corruption: one number and key for each environment.

    Returns:
      uint8 [B, V, S, S, 3].

    Raises:
      ValueError: unknown numbers that are not traced.
    """
    chex.assert_rank(images, 5)
    chex.assert_type(images, jnp.uint8)
    corruptions.check(corruption.number)

    def corrupt(row: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        key, image, number = row
        frame = convert_image_convention(image, "libero")
        frame = corruptions.corrupt(key, frame, number)
        return convert_image_convention(frame, "libero")

    rows = (corruption.key, images[:, AGENT_VIEW], corruption.number)
    on_cpu = jax.default_backend() == "cpu"
    corrupted = jax.lax.map(corrupt, rows) if on_cpu else jax.vmap(corrupt)(rows)
    return images.at[:, AGENT_VIEW].set(corrupted)
