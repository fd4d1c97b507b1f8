"""Colours of the surface points that rays hit; once per ray, never per primitive.

Axes: T tiles of P rays, N rows of primitives, m materials, L lights. Colours and
vectors are triples of [T, P] arrays. Lambert and Blinn-Phong with a headlight, as in
MuJoCo's renderer, without spot cones or attenuation; the ambient term is brighter from
above than from below.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree
from omnivla_jax.render import intersect, primitives, textures
from omnivla_jax.render.arithmetic import Vector, add, cross, dot, unit
from omnivla_jax.render.lookup import columns_at
from omnivla_jax.render.types import KINDS, KindRanges, Lights, Materials


class Surface(NamedTuple):
    """The surface points that rays hit, world frame; gathered once per ray."""

    hit: jax.Array  # bool [T, P]
    distance: jax.Array  # float32 [T, P]
    row: jax.Array  # int32 [T, P]: of `intersect.expand_faces`
    point: Vector  # m
    normal: Vector  # unit
    local: Vector  # the point in the primitive's frame, m
    local_normal: Vector


def surface(
    hit: jax.Array,
    distance: jax.Array,
    row: jax.Array,
    point: Vector,
    *,
    rows: intersect.PosedPrimitives,
    row_ranges: KindRanges,
) -> Surface:
    """Compute local points and normals of hits.

    Args:
      hit: bool [T, P]; distance: float32 [T, P]; row: int32 [T, P], see
        `intersect.nearest_hit`.
      point: float32 [T, P] each, world frame, m.
      rows: N rows, see `intersect.expand_faces`.
      row_ranges: the rows of each kind.

    Returns:
      What shading reads of the hit surfaces, [T, P] each.
    """
    chex.assert_equal_shape([hit, distance, row])
    # The third axis is the product of the others: on a TPU, cheaper than three columns.
    axes = 2 if jax.default_backend() == "tpu" else 3
    rotation = rows.rotation[:, :, :axes].reshape(-1, 3 * axes)
    pose = columns_at(
        jnp.concatenate([rotation, rows.position, rows.size], axis=1), row
    )
    turn = [pose[axes * i : axes * (i + 1)] for i in range(3)]
    if axes == 2:
        first_axis, second_axis = zip(*turn)
        third_axis = cross(first_axis, second_axis)
        turn = [[*pair, last] for pair, last in zip(turn, third_axis)]
    position, size = pose[3 * axes :][:3], pose[3 * axes :][3:]
    offset = [point[i] - position[i] for i in range(3)]
    local = tuple(sum(turn[i][j] * offset[i] for i in range(3)) for j in range(3))
    normal: Vector = (jnp.zeros_like(local[0]),) * 3
    for kind in KINDS:
        first, last = row_ranges[kind]
        if last > first:
            of_kind = primitives.normal(kind, local, tuple(size))
            here = (row >= first) & (row < last)
            normal = tuple(jnp.where(here, p, q) for p, q in zip(of_kind, normal))
    normal = unit(normal)
    world = tuple(sum(turn[i][j] * normal[j] for j in range(3)) for i in range(3))
    return Surface(hit, distance, row, *_stage((point, world, local, normal)))


def shade(
    surface: Surface,
    materials: Materials,
    material: jax.Array,
    lights: Lights,
    *,
    eye: jax.Array,
    pixel_angle: jax.Array,
    lit: jax.Array | None,
) -> Vector:
    """Compute the colours of surface points, and of the sky where nothing is hit.

    Args:
      surface: [T, P] points.
      materials: m materials.
      material: int32 [N], the material of each row.
      lights: ambient light, headlight and L lamps.
      eye: float32 [3], of the camera, world frame, m.
      pixel_angle: float32 [], the angle that a ray covers, rad.
      lit: float32 [T, P], 1 where the first lamp reaches the point, else 0; None: it
        reaches all.

    Returns:
      Linear red, green and blue in [0, 1], float32 [T, P] each.
    """
    view = unit(tuple(eye[i] - surface.point[i] for i in range(3)))
    tables = [jnp.asarray(t, jnp.float32).reshape(-1, t[0].size) for t in materials]
    values = columns_at(jnp.concatenate(tables, axis=1)[material], surface.row)
    facing = jnp.maximum(dot(surface.normal, view), 0.0)
    base = _albedo(surface, values, pixel_angle * surface.distance / (facing + 0.05))

    specular, exponent = values[8], 128 * values[9] + 1
    ambient = _scale(0.8 + 0.2 * surface.normal[2], lights.ambient)
    light = add(ambient, _scale(facing, lights.headlight))
    gloss: Vector = (jnp.zeros_like(facing),) * 3
    for lamp in range(lights.diffuse.shape[0]):
        reach = lit if lamp == 0 and lit is not None else jnp.ones_like(facing)
        to_lamp = _to_lamp(surface.point, lights, lamp)
        lambert = jnp.maximum(dot(surface.normal, to_lamp), 0.0) * reach
        half = unit(add(to_lamp, view))
        cosine = jnp.maximum(dot(surface.normal, half), 0.0)
        # Schlick's rational approximation of cosine ** exponent: no logarithm.
        peak = cosine / (exponent - exponent * cosine + cosine)
        glint = peak * specular * (lambert > 0)
        light = add(light, _scale(lambert, lights.diffuse[lamp]))
        gloss = add(gloss, _scale(glint * reach, lights.specular[lamp]))

    diffuse = tuple(b * l for b, l in zip(base, light))
    rgb = [tone_curve(channel) for channel in add(diffuse, gloss)]
    # `view` points back to the eye, so looking up is a negative z.
    sky = _scale(0.92 - 0.12 * view[2], lights.sky)
    return tuple(jnp.where(surface.hit, p, q) for p, q in zip(rgb, sky))


def tone_curve(x: jax.Array) -> jax.Array:
    """Identity below 0.75, then bends towards 1: no burnt-out patches.

    Args:
      x: float32, linear brightness from 0.

    Returns:
      float32 in [0, 1], same shape.
    """
    over = jnp.maximum(x - 0.75, 0.0) * 4
    return jnp.minimum(x, 0.75) + 0.25 * over / (1 + over)


def _albedo(surface: Surface, values: list[jax.Array], footprint: jax.Array) -> Vector:
    """Texture between the two colours, fading where a pixel covers a repetition.

    `values` are the columns of `Materials` at each point; `footprint` [T, P], m.
    """
    texture, scale = values[6:8]
    nx, ny, nz = (jnp.abs(n) for n in surface.local_normal)
    x, y, z = (p / scale for p in surface.local)
    along_x = (nx > ny) & (nx > nz)
    u = jnp.where(along_x, y, x)
    v = jnp.where(along_x | (ny > nz), z, y)
    weight = textures.second_color_weight(texture, u, v, z)
    sharp = jnp.clip(1.6 - 1.6 * footprint / scale, 0.0, 1.0)
    weight = 0.3 + (weight - 0.3) * sharp * (texture > 0)
    weight = jnp.where(texture > 0, weight, 0.0)
    return tuple(values[c] * (1 - weight) + values[3 + c] * weight for c in range(3))


def _to_lamp(point: Vector, lights: Lights, lamp: int) -> Vector:
    """The unit vector from each point towards a lamp."""
    offset = tuple(
        jnp.where(
            lights.directional[lamp],
            -lights.direction[lamp, axis],
            lights.position[lamp, axis] - point[axis],
        )
        for axis in range(3)
    )
    return unit(offset)


def _stage(values: PyTree) -> PyTree:
    """The same values; a TPU computes them before what follows.

    Its compiler fuses all of shading into one loop otherwise, which spills registers
    (measured: eight times the cycles), or divides it where it needs twice the arrays.
    """
    on_tpu = jax.default_backend() == "tpu"
    return jax.lax.optimization_barrier(values) if on_tpu else values


def _scale(amount: jax.Array, rgb: jax.Array) -> Vector:
    return amount * rgb[0], amount * rgb[1], amount * rgb[2]
