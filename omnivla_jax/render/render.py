"""Draws posed primitives with a camera: the renderer's one entry point.

Axes: S image side, T tiles of P rays, n primitives, N rows of primitives, m materials,
L lights, nbody bodies. Unbatched; `jax.vmap` over poses and cameras draws many images.
"""

import functools
from typing import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render import batching, intersect, shading
from omnivla_jax.render.arithmetic import Vector, fusion_barrier
from omnivla_jax.render.lookup import columns_at
from omnivla_jax.render.rays import (
    Rays,
    TiledImagePlane,
    primary_rays,
    shadow_rays,
)
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
      shadows: whether the first lamp casts hard shadows; without, `lights.shadow` says.
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
    plane = TiledImagePlane.of_side(size * (supersample if "rgb" in outputs else 1))
    draw = functools.partial(
        _draw,
        plane=plane,
        size=size,
        outputs=tuple(outputs),
        shadows=shadows,
        supersample=supersample,
    )
    draw_batch = batching.in_blocks(draw, images_at_once=plane.images_at_once)
    scene = shapes, materials, lights, camera, body_position, body_rotation
    image = draw_batch(*jax.tree.map(jnp.asarray, scene))
    if jax.default_backend() == "cpu":
        return image
    # An accelerator's loops hold components apart: a last axis of 3 pads to 128.
    return jax.tree.map(
        lambda leaf: leaf if leaf.ndim == 2 else jnp.moveaxis(leaf, 0, -1), image
    )


def _draw(
    shapes: Shapes,
    materials: Materials,
    lights: Lights,
    camera: Camera,
    body_position: jax.Array,
    body_rotation: jax.Array,
    *,
    plane: TiledImagePlane,
    size: int,
    outputs: tuple[str, ...],
    shadows: bool,
    supersample: int,
) -> Image:
    # The one ray of a pixel lies where the ray that reports geometry would.
    offset = 0.0
    if plane.side < size * supersample:
        offset = (supersample // 2 + 0.5) / supersample - 0.5
    posed = intersect.pose(shapes, body_position, body_rotation)
    rays = primary_rays(camera, plane, offset=offset)
    trace = functools.partial(
        _trace,
        posed,
        intersect.kind_ranges(shapes),
        materials,
        lights,
        camera,
        pixel_angle=jnp.linalg.norm(rays.basis[:, 0]) * (2 / plane.side),
        outputs=outputs,
        shadows=shadows,
    )
    if jax.default_backend() == "cpu":
        components = trace(rays)
    else:  # one tile at a time, so that memory does not grow with the image
        *varying, last = rays.weights
        components = jax.lax.map(
            lambda tile: trace(rays._replace(weights=(*tile, last))), varying
        )
    return _image(components, plane, size, supersample)


def _trace(
    posed: intersect.PosedPrimitives,
    ranges: KindRanges,
    materials: Materials,
    lights: Lights,
    camera: Camera,
    rays: Rays,
    *,
    pixel_angle: jax.Array,
    outputs: tuple[str, ...],
    shadows: bool,
) -> dict[str, Vector]:
    """The outputs of every ray by name, component by component, [T, P] each.

    Colours share an integer, see `_pack`.
    """
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
    geometry = {"depth": (depth,), "normal": surface.normal, "point": surface.point}
    components: dict[str, Vector] = {
        name: tuple(jnp.where(hit, axis, 0.0) for axis in geometry[name])
        for name in outputs
        if name in geometry
    }
    if "segmentation" in outputs:
        (geom,) = columns_at(rows.geom[:, None], row)
        components["segmentation"] = (jnp.where(hit, geom, -1),)
    if "rgb" in outputs:
        channels = shading.shade(
            surface,
            materials,
            rows.material,
            lights,
            eye=camera.position,
            pixel_angle=pixel_angle,
            lit=_lit(posed, ranges, lights, surface, always=shadows),
        )
        components["rgb"] = (_pack(channels),)
    return components


def _lit(
    posed: intersect.PosedPrimitives,
    ranges: KindRanges,
    lights: Lights,
    surface: shading.Surface,
    *,
    always: bool,
) -> jax.Array | None:
    """1 where nothing stands between the first lamp and the point, else 0: [T, P].

    None without shadows. Where they are data, a CPU casts them in those images that
    have some, and an accelerator in all of them.
    """
    cast = functools.partial(_cast_shadows, posed, ranges, lights)
    if always:
        return cast(surface)
    if lights.shadow is None:
        return None
    return jax.lax.cond(
        lights.shadow, cast, lambda points: jnp.ones_like(points.distance), surface
    )


def _cast_shadows(
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


def _pack(channels: Vector) -> jax.Array:
    """Three colours in one integer.

    Interleaved as colours they made shading several times slower on a CPU.
    """
    red, green, blue = (
        (LEVELS * channel + 0.5).astype(jnp.int32) << shift
        for channel, shift in zip(channels, SHIFTS)
    )
    return red | green | blue


def _image(
    components: dict[str, Vector],
    plane: TiledImagePlane,
    size: int,
    supersample: int,
) -> Image:
    """Put tiles together and average the rays of each pixel, or pick one of them.

    Vectors are [S, S, 3] on a CPU and [3, S, S] on an accelerator.
    """
    axis = -1 if jax.default_backend() == "cpu" else 0
    step = plane.side // size
    pick = slice(step // 2, None, step)
    images = {}
    for name, tiles in components.items():
        whole = [plane.untile(tile) for tile in tiles]
        if name == "rgb":
            images[name] = _average_pixels(whole[0], supersample, axis=axis)
        else:
            picked = [image[pick, pick] for image in whole]
            images[name] = jnp.stack(picked, axis) if len(picked) > 1 else picked[0]
    return Image(**images)


def _average_pixels(packed: jax.Array, supersample: int, *, axis: int) -> jax.Array:
    """The mean of each pixel's rays, uint8, colours along `axis`."""
    size, whole = packed.shape[0] // supersample, LEVELS // 255 * supersample**2

    # Colours last on a CPU, whose loop then reads each pixel once.
    shifts = np.reshape(SHIFTS, (3, 1, 1, 1, 1) if axis == 0 else (3,)).astype(np.int32)
    rays = (2, 4) if axis == 0 else (1, 3)

    def average(packed: jax.Array) -> jax.Array:
        block = packed.reshape(size, supersample, size, supersample)
        unpacked = (jnp.expand_dims(block, axis) >> shifts) & 1023
        return ((unpacked.sum(rays) + whole // 2) // whole).astype(jnp.uint8)

    return fusion_barrier(average, packed)
