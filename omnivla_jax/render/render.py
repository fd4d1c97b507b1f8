"""Draw posed primitives with a camera: the renderer's one entry point.

Axes: S image side, R = (S * supersample)^2 rays, n primitives, m materials,
L lights, nbody bodies. Unbatched; `jax.vmap` over poses and cameras is the way to draw
many pictures.
"""

import functools
from typing import Any, Callable, NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render import camera as camera_lib
from omnivla_jax.render import shading, traverse
from omnivla_jax.render.primitives import Vector
from omnivla_jax.render.types import (
    OUTPUTS,
    Camera,
    Image,
    Lights,
    Materials,
    Shapes,
)

SHADOW_BIAS = 2e-3  # of the way to the lamp: more than the depth's rounding
LEVELS = 1020  # of a channel before averaging: 4 times 255, in 10 bits
SHIFTS = (0, 10, 20)
SUN_DISTANCE = 30.0  # m: a directional lamp casts shadows from this far away


def render(
    shapes: Shapes,
    materials: Materials,
    lights: Lights,
    camera: Camera,
    body_position: jax.Array,
    body_rotation: jax.Array,
    *,
    size: int,
    outputs: Sequence[str] = ("rgb",),
    shadows: bool = False,
    supersample: int = 1,
) -> Image:
    """Draw one square picture; row 0 is the top.

    Args: see `types` for the first four; changing their values never retraces.
      body_position: [nbody, 3], m; body_rotation: [nbody, 3, 3] world from body.
      size: the image side S, pixels.
      outputs: which of OUTPUTS to compute; the others are None.
      shadows: whether the first lamp casts hard shadows.
      supersample: rays per pixel along each side; colours are averaged, the other
        outputs belong to the ray at (or right below) the pixel's centre.

    Raises ValueError on an unknown output or a size or supersample below 1.
    """
    _check(camera, body_position, body_rotation, size, outputs, supersample)
    options = _Options(size, tuple(outputs), shadows, supersample)
    scene = (shapes, materials, lights, camera, body_position, body_rotation)
    draw = functools.partial(_draw, options)
    return _one_at_a_time(draw)(*jax.tree.map(jnp.asarray, scene))


def _check(
    camera: Camera,
    body_position: jax.Array,
    body_rotation: jax.Array,
    size: int,
    outputs: Sequence[str],
    supersample: int,
) -> None:
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown or not outputs:
        raise ValueError(f"Outputs {list(outputs)}: choose one or more of {OUTPUTS}.")
    if size < 1 or supersample < 1:
        raise ValueError(f"{size=}, {supersample=}: both must be at least 1.")
    chex.assert_shape([camera.position], (3,))
    chex.assert_shape([camera.rotation], (3, 3))
    chex.assert_shape([body_position], (None, 3))
    chex.assert_shape([body_rotation], (None, 3, 3))


class _Options(NamedTuple):
    size: int
    outputs: tuple[str, ...]
    shadows: bool
    supersample: int

    @property
    def coarse(self) -> bool:
        """Geometry alone needs one ray per pixel."""
        return "rgb" not in self.outputs

    @property
    def step(self) -> int:
        """Rays per pixel along a side."""
        return 1 if self.coarse else self.supersample


def _draw(
    options: _Options,
    shapes: Shapes,
    materials: Materials,
    lights: Lights,
    camera: Camera,
    body_position: jax.Array,
    body_rotation: jax.Array,
) -> Image:
    fine = options.supersample
    spans = traverse.starts(shapes)
    solids = traverse.pose(shapes, body_position, body_rotation)
    axes = camera_lib.axes(camera)
    weights = camera_lib.film(
        size=options.size,
        supersample=fine,
        first=fine // 2 if options.coarse else 0,
        stride=fine if options.coarse else 1,
    )
    met = traverse.nearest(solids, spans, camera.position, axes, weights)
    point = _points(camera.position, axes, weights, met[1])
    seen = shading.surface(*met, point, solids=solids, spans=spans)
    rgb = None
    if not options.coarse:
        pixel = 2 * jnp.linalg.norm(axes[:, 0]) / (options.size * fine)
        parts = shading.colour(
            seen,
            materials,
            solids.material,
            lights,
            eye=camera.position,
            pixel=pixel,
            lit=_lit(solids, spans, lights, seen) if options.shadows else None,
        )
        rgb = _bytes(parts, options.size, fine)
    return _image(seen, solids.geom, rgb, options)


def _points(
    eye: jax.Array, axes: jax.Array, weights: Vector, depth: jax.Array
) -> Vector:
    """Where the rays end, world frame."""
    x, y, z = (
        eye[i] + depth * sum(axes[i, j] * weights[j] for j in range(3))
        for i in range(3)
    )
    return x, y, z


def _lit(
    solids: traverse.Solids,
    spans: dict[str, tuple[int, int]],
    lights: Lights,
    seen: shading.Surface,
) -> jax.Array:
    """1 where nothing stands between the first lamp and the point, else 0: [R].

    Rays start at the lamp, so that they share an origin as the camera's do.
    """
    far_away = -SUN_DISTANCE * lights.direction[0]
    far_away = far_away / jnp.linalg.norm(lights.direction[0])
    lamp = jnp.where(lights.directional[0], far_away, lights.position[0])
    x, y, z = (seen.point[i] - lamp[i] for i in range(3))
    casters = {kind: span for kind, span in spans.items() if kind != "plane"}
    _, reach, _ = traverse.nearest(solids, casters, lamp, jnp.eye(3), (x, y, z))
    return (reach > 1 - SHADOW_BIAS).astype(jnp.float32)


def _bytes(parts: Vector, size: int, supersample: int) -> jax.Array:
    """Average the rays of each pixel; uint8 [S, S, 3].

    The channels share an integer, averaged apart: interleaving them as colours
    made shading several times slower on a CPU.
    """
    red, green, blue = (
        (LEVELS * part + 0.5).astype(jnp.int32) << shift
        for part, shift in zip(parts, SHIFTS)
    )
    whole = LEVELS // 255 * supersample**2

    def average(packed: jax.Array) -> jax.Array:
        block = packed.reshape(size, supersample, size, supersample, 1)
        channels = (block >> np.array(SHIFTS, np.int32)) & 1023
        return ((channels.sum((1, 3)) + whole // 2) // whole).astype(jnp.uint8)

    return traverse.apart(average, red | green | blue)


def _image(
    seen: shading.Surface, geom: jax.Array, rgb: jax.Array | None, options: _Options
) -> Image:
    side = options.size * options.step
    pick = slice(options.step // 2, None, options.step)

    def picked(values: jax.Array) -> jax.Array:
        return values.reshape(side, side)[pick, pick]

    def stack(vector: Vector) -> jax.Array:
        return jnp.stack([picked(jnp.where(seen.hit, v, 0.0)) for v in vector], axis=-1)

    lazy: dict[str, Callable[[], jax.Array | None]] = {
        "rgb": lambda: rgb,
        "depth": lambda: picked(jnp.where(seen.hit, seen.distance, 0.0)),
        "normal": lambda: stack(seen.normal),
        "point": lambda: stack(seen.point),
        "segmentation": lambda: picked(jnp.where(seen.hit, geom[seen.primitive], -1)),
    }
    return Image(**{name: lazy[name]() for name in options.outputs})


def _one_at_a_time(draw: Callable[..., Image]) -> Callable[..., Image]:
    """Under vmap on a CPU, draw the pictures of a batch one after the other.

    One picture's arrays stay near the cache, and XLA splits its larger loops between
    cores. Accelerators take the batch at once.
    """
    mapped = jax.custom_batching.custom_vmap(draw)

    @mapped.def_vmap
    def batch(axis_size: int, in_batched: Any, *scene: Any) -> tuple[Image, Any]:
        del axis_size
        leaves, tree = jax.tree.flatten(scene)
        flags = jax.tree.leaves(in_batched)

        def one(moving: list[jax.Array]) -> Image:
            rest = iter(moving)
            merged = [next(rest) if flag else leaf for leaf, flag in zip(leaves, flags)]
            return mapped(*jax.tree.unflatten(tree, merged))

        moving = [leaf for leaf, flag in zip(leaves, flags) if flag]
        if jax.default_backend() == "cpu":
            images = jax.lax.map(one, moving)
        else:
            axes = jax.tree.unflatten(tree, [0 if flag else None for flag in flags])
            images = jax.vmap(draw, in_axes=axes)(*scene)
        return images, jax.tree.map(lambda _: True, images)

    return mapped
