"""Draw posed primitives with a camera: the renderer's one entry point.

Axes: S image side, T tiles of P rays, n primitives, m materials, L lights, nbody
bodies. Unbatched; `jax.vmap` over poses and cameras is the way to draw many pictures.
"""

import functools
from typing import Any, Callable, NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render import rays as bundles
from omnivla_jax.render import shading, traverse
from omnivla_jax.render.arithmetic import Vector
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
LANES = 2  # loops over a batch that a CPU may run side by side; each is compiled
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
    def side(self) -> int:
        """Rays along a side of the picture."""
        return self.size * (1 if self.coarse else self.supersample)

    @property
    def offset(self) -> float:
        """Where a coarse ray passes, in pixels off the centre: at the fine one's."""
        fine = self.supersample
        return (fine // 2 + 0.5) / fine - 0.5 if self.coarse else 0.0


def _draw(
    options: _Options,
    shapes: Shapes,
    materials: Materials,
    lights: Lights,
    camera: Camera,
    body_position: jax.Array,
    body_rotation: jax.Array,
) -> Image:
    spans = traverse.starts(shapes)
    solids = traverse.pose(shapes, body_position, body_rotation)
    film = bundles.film(options.side)
    rays = bundles.through(camera, film, offset=options.offset)
    met = traverse.nearest(solids, spans, rays)
    point = _points(rays, met[1])
    listed = traverse.rows(solids)
    seen = shading.surface(*met, point, rows=listed, kinds=_rows_of(spans, solids))
    rgb = None
    if not options.coarse:
        side = jnp.linalg.norm(rays.basis[:, 0]) * (2 / film.side)
        parts = shading.colour(
            seen,
            materials,
            listed.material,
            lights,
            eye=camera.position,
            pixel=side,
            lit=_lit(solids, spans, lights, seen) if options.shadows else None,
        )
        rgb = _bytes(parts, film, options.supersample)
    return _image(seen, listed.geom, rgb, film, options)


def _points(rays: bundles.Rays, depth: jax.Array) -> Vector:
    """Where the rays end, world frame, [T, P] each."""
    a, b, c = rays.weights
    x, y, z = (
        eye + depth * (toward[0] * a + toward[1] * b + toward[2] * c)
        for eye, toward in zip(rays.origin, rays.basis)
    )
    return x, y, z


def _rows_of(spans: traverse.Spans, solids: traverse.PosedPrimitives) -> traverse.Spans:
    """The spans counted in rows: a polytope has one per face."""
    first, _ = spans["polytope"]
    count, faces, _ = solids.planes.shape
    return spans | {"polytope": (first, first + count * faces)}


def _lit(
    solids: traverse.PosedPrimitives,
    spans: traverse.Spans,
    lights: Lights,
    seen: shading.Surface,
) -> jax.Array:
    """1 where nothing stands between the first lamp and the point, else 0: [T, P].

    Rays start at the lamp, so that they share an origin as the camera's do.
    """
    far_away = -SUN_DISTANCE * lights.direction[0]
    far_away = far_away / jnp.linalg.norm(lights.direction[0])
    lamp = jnp.where(lights.directional[0], far_away, lights.position[0])
    rays = bundles.towards(lamp, seen.point, seen.hit)
    casters = {kind: span for kind, span in spans.items() if kind != "plane"}
    _, reach, _ = traverse.nearest(solids, casters, rays)
    return (reach > 1 - SHADOW_BIAS).astype(jnp.float32)


def _bytes(parts: Vector, film: bundles.TiledImagePlane, supersample: int) -> jax.Array:
    """Average the rays of each pixel; uint8 [S, S, 3].

    The channels share an integer, averaged apart: interleaving them as colours
    made shading several times slower on a CPU.
    """
    red, green, blue = (
        (LEVELS * part + 0.5).astype(jnp.int32) << shift
        for part, shift in zip(parts, SHIFTS)
    )
    whole = LEVELS // 255 * supersample**2
    size = film.side // supersample

    def average(packed: jax.Array) -> jax.Array:
        block = packed.reshape(size, supersample, size, supersample, 1)
        channels = (block >> np.array(SHIFTS, np.int32)) & 1023
        return ((channels.sum((1, 3)) + whole // 2) // whole).astype(jnp.uint8)

    return traverse.apart(average, film.join(red | green | blue))


def _image(
    seen: shading.Surface,
    geom: jax.Array,
    rgb: jax.Array | None,
    film: bundles.TiledImagePlane,
    options: _Options,
) -> Image:
    step = film.side // options.size
    pick = slice(step // 2, None, step)

    def picked(values: jax.Array) -> jax.Array:
        return film.join(values)[pick, pick]

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
    """Under vmap on a CPU, draw the pictures of a batch one after the other, in LANES.

    One picture's arrays stay near the cache, and the lanes' loops, which do not depend
    on each other, run on cores of their own. Accelerators take the batch at once.
    """
    mapped = jax.custom_batching.custom_vmap(draw)

    @mapped.def_vmap
    def batch(axis_size: int, in_batched: Any, *scene: Any) -> tuple[Image, Any]:
        leaves, tree = jax.tree.flatten(scene)
        flags = jax.tree.leaves(in_batched)

        def one(moving: list[jax.Array]) -> Image:
            rest = iter(moving)
            merged = [next(rest) if flag else leaf for leaf, flag in zip(leaves, flags)]
            return mapped(*jax.tree.unflatten(tree, merged))

        moving = [leaf for leaf, flag in zip(leaves, flags) if flag]
        if jax.default_backend() == "cpu":
            images = _in_lanes(one, moving, axis_size)
        else:
            axes = jax.tree.unflatten(tree, [0 if flag else None for flag in flags])
            images = jax.vmap(draw, in_axes=axes)(*scene)
        return images, jax.tree.map(lambda _: True, images)

    return mapped


def _in_lanes(
    one: Callable[[list[jax.Array]], Image], moving: list[jax.Array], count: int
) -> Image:
    """`jax.lax.map`, as independent loops over parts of the batch."""
    ends = [count * lane // LANES for lane in range(LANES + 1)]
    parts = [
        jax.lax.map(one, [leaf[begin:end] for leaf in moving])
        for begin, end in zip(ends, ends[1:])
        if end > begin
    ]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
