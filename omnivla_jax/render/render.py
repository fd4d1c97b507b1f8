"""Draws posed primitives with a camera: the renderer's one entry point.

Axes: S image side, T tiles of P rays, n primitives, N rows of primitives, m materials,
L lights, nbody bodies. Unbatched; `jax.vmap` over poses and cameras draws many images.
"""

import functools
from typing import Any, Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render import intersect, shading
from omnivla_jax.render.arithmetic import Vector
from omnivla_jax.render.rays import TiledImagePlane, primary_rays, shadow_rays
from omnivla_jax.render.types import (
    OUTPUTS,
    Camera,
    Image,
    KindRanges,
    Lights,
    Materials,
    Shapes,
)

SHADOW_BIAS = 2e-3  # of the way to the lamp: more than the depth's rounding
LEVELS = 1020  # of a channel before averaging: 4 times 255, in 10 bits
SHIFTS = (0, 10, 20)
PARALLEL_CHUNKS = 2  # loops over a batch that a CPU may run at once; each is compiled
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
    """Draw one square image; row 0 is the top.

    Args:
      shapes: n primitives; changing the values of these and of the next three
        arguments never retraces.
      materials: m materials.
      lights: L lamps, of which the first may cast shadows.
      camera: one pinhole camera.
      body_position: float32 [nbody, 3], m.
      body_rotation: float32 [nbody, 3, 3], world from body.
      size: the image side S, pixels.
      outputs: which of OUTPUTS to compute; the others are None.
      shadows: whether the first lamp casts hard shadows.
      supersample: rays per pixel along each side; colours are averaged, the other
        outputs belong to the ray at (or right below) the pixel's centre.

    Returns:
      The outputs, [S, S, ...] each.

    Raises:
      ValueError: unknown output, or a size or supersample below 1.
    """
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown or not outputs:
        raise ValueError(f"Outputs {list(outputs)}: choose one or more of {OUTPUTS}.")
    if size < 1 or supersample < 1:
        raise ValueError(f"{size=}, {supersample=}: both must be at least 1.")
    chex.assert_shape([camera.position, camera.rotation], [(3,), (3, 3)])
    chex.assert_shape([body_position, body_rotation], [(None, 3), (None, 3, 3)])
    draw = functools.partial(
        _draw,
        size=size,
        outputs=tuple(outputs),
        shadows=shadows,
        supersample=supersample,
    )
    scene = (shapes, materials, lights, camera, body_position, body_rotation)
    return _map_on_cpu(draw)(*jax.tree.map(jnp.asarray, scene))


def _draw(
    shapes: Shapes,
    materials: Materials,
    lights: Lights,
    camera: Camera,
    body_position: jax.Array,
    body_rotation: jax.Array,
    *,
    size: int,
    outputs: tuple[str, ...],
    shadows: bool,
    supersample: int,
) -> Image:
    # Geometry alone needs one ray a pixel: at the place of the one that reports it.
    coloured = "rgb" in outputs
    offset = 0.0 if coloured else (supersample // 2 + 0.5) / supersample - 0.5
    ranges = intersect.kind_ranges(shapes)
    posed = intersect.pose(shapes, body_position, body_rotation)
    plane = TiledImagePlane.of_side(size * supersample if coloured else size)
    rays = primary_rays(camera, plane, offset=offset)

    hit, depth, row = intersect.nearest_hit(posed, ranges, rays)
    a, b, c = rays.weights
    point = tuple(
        origin + depth * (basis[0] * a + basis[1] * b + basis[2] * c)
        for origin, basis in zip(rays.origin, rays.basis)
    )
    rows = intersect.expand_faces(posed)
    count, faces, _ = posed.planes.shape
    first, _ = ranges["polytope"]
    row_ranges = ranges | {"polytope": (first, first + count * faces)}
    surface = shading.surface(hit, depth, row, point, rows=rows, row_ranges=row_ranges)

    rgb = None
    if coloured:
        pixel_angle = jnp.linalg.norm(rays.basis[:, 0]) * (2 / plane.side)
        channels = shading.shade(
            surface,
            materials,
            rows.material,
            lights,
            eye=camera.position,
            pixel_angle=pixel_angle,
            lit=_lit(posed, ranges, lights, surface) if shadows else None,
        )
        rgb = _average_pixels(channels, plane, supersample)
    return _image(surface, rows.geom, rgb, plane, size, outputs)


def _lit(
    posed: intersect.PosedPrimitives,
    ranges: KindRanges,
    lights: Lights,
    surface: shading.Surface,
) -> jax.Array:
    """1 where nothing stands between the first lamp and the point, else 0: [T, P].

    Rays start at the lamp, so that they share an origin as the camera's do.
    """
    sun = -SUN_DISTANCE * lights.direction[0]
    sun = sun / jnp.linalg.norm(lights.direction[0])
    lamp = jnp.where(lights.directional[0], sun, lights.position[0])
    rays = shadow_rays(lamp, surface.point, surface.hit)
    casters = {kind: span for kind, span in ranges.items() if kind != "plane"}
    _, distance, _ = intersect.nearest_hit(posed, casters, rays)
    return (distance > 1 - SHADOW_BIAS).astype(jnp.float32)


def _average_pixels(
    channels: Vector, plane: TiledImagePlane, supersample: int
) -> jax.Array:
    """Average the rays of each pixel; uint8 [S, S, 3].

    The channels share an integer, and a fusion barrier separates their average from
    shading: interleaved as colours they made it several times slower on a CPU.
    """
    red, green, blue = (
        (LEVELS * channel + 0.5).astype(jnp.int32) << shift
        for channel, shift in zip(channels, SHIFTS)
    )
    whole = LEVELS // 255 * supersample**2
    size = plane.side // supersample

    def average(packed: jax.Array) -> jax.Array:
        block = packed.reshape(size, supersample, size, supersample, 1)
        unpacked = (block >> np.array(SHIFTS, np.int32)) & 1023
        return ((unpacked.sum((1, 3)) + whole // 2) // whole).astype(jnp.uint8)

    return intersect.fusion_barrier(average, plane.untile(red | green | blue))


def _image(
    surface: shading.Surface,
    geom: jax.Array,
    rgb: jax.Array | None,
    plane: TiledImagePlane,
    size: int,
    outputs: tuple[str, ...],
) -> Image:
    """Gather the outputs, of one ray a pixel."""
    step = plane.side // size
    pick = slice(step // 2, None, step)

    def pixels(values: jax.Array, missing: float) -> jax.Array:
        image = plane.untile(jnp.where(surface.hit, values, missing))
        return image[pick, pick]

    values: dict[str, jax.Array | None] = {"rgb": rgb}
    for name in outputs:
        if name == "depth":
            values[name] = pixels(surface.distance, 0.0)
        elif name == "segmentation":
            values[name] = pixels(geom[surface.row], -1)
        elif name in ("normal", "point"):
            vector = [pixels(axis, 0.0) for axis in getattr(surface, name)]
            values[name] = jnp.stack(vector, axis=-1)
    return Image(**values)


def _map_on_cpu(draw: Callable[..., Image]) -> Callable[..., Image]:
    """Under vmap on a CPU, draw the images of a batch one after the other.

    They are cut into PARALLEL_CHUNKS loops, which do not depend on each other and run
    on cores of their own; one image's arrays stay close to the cache. Accelerators draw
    the batch at once.
    """
    mapped = jax.custom_batching.custom_vmap(draw)

    @mapped.def_vmap
    def batch(axis_size: int, in_batched: Any, *scene: Any) -> tuple[Image, Any]:
        leaves, tree = jax.tree.flatten(scene)
        flags = jax.tree.leaves(in_batched)

        def draw_one(batched: list[jax.Array]) -> Image:
            rest = iter(batched)
            merged = [next(rest) if flag else leaf for leaf, flag in zip(leaves, flags)]
            return mapped(*jax.tree.unflatten(tree, merged))

        if jax.default_backend() != "cpu":
            axes = jax.tree.unflatten(tree, [0 if flag else None for flag in flags])
            images = jax.vmap(draw, in_axes=axes)(*scene)
        else:
            batched = [leaf for leaf, flag in zip(leaves, flags) if flag]
            parts = PARALLEL_CHUNKS
            ends = [axis_size * part // parts for part in range(parts + 1)]
            chunks = [
                jax.lax.map(draw_one, [leaf[begin:end] for leaf in batched])
                for begin, end in zip(ends, ends[1:])
                if end > begin
            ]
            images = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *chunks)
        return images, jax.tree.map(lambda _: True, images)

    return mapped
