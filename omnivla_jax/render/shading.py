"""Colour of the surface points that the rays met; once per ray, never per primitive.

Axes: T tiles of P rays, m materials, L lights. Colours and vectors are triples of
[T, P] arrays. Lambert and Blinn-Phong with a headlight, as MuJoCo's renderer, without
spot cones or attenuation; the ambient term is brighter from above than from below.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.render import primitives, textures, traverse
from omnivla_jax.render.arithmetic import Vector, add, dot, unit
from omnivla_jax.render.types import KINDS, Lights, Materials


class Surface(NamedTuple):
    """What the rays met, in the world frame; gathered once per ray."""

    hit: jax.Array  # bool [T, P]
    distance: jax.Array  # float32 [T, P]
    primitive: jax.Array  # int32 [T, P]: index into Solids
    point: Vector  # m
    normal: Vector  # unit
    local: Vector  # the point in the primitive's frame, m
    local_normal: Vector


def surface(
    hit: jax.Array,
    distance: jax.Array,
    index: jax.Array,
    point: Vector,
    *,
    rows: traverse.PosedPrimitives,
    kinds: traverse.Spans,
) -> Surface:
    """Local point and normal of every hit, an `index` into `rows`."""
    poses = [rows.rotation.reshape(-1, 9), rows.position, rows.size]
    pose = _rows(jnp.concatenate(poses, axis=1), index)
    turn = [pose[3 * i : 3 * i + 3] for i in range(3)]
    offset = [point[i] - pose[9 + i] for i in range(3)]
    x, y, z = (sum(turn[i][j] * offset[i] for i in range(3)) for j in range(3))
    sx, sy, sz = pose[12:]
    normal = (jnp.zeros_like(x),) * 3
    for kind in KINDS:
        first, last = kinds[kind]
        if last > first:
            found = primitives.NORMAL[kind]((x, y, z), (sx, sy, sz))
            here = (index >= first) & (index < last)
            normal = _choose(here, found, normal)
    normal = unit(normal)
    a, b, c = (sum(turn[i][j] * normal[j] for j in range(3)) for i in range(3))
    return Surface(hit, distance, index, point, (a, b, c), (x, y, z), normal)


def colour(
    seen: Surface,
    materials: Materials,
    material: jax.Array,
    lights: Lights,
    *,
    eye: jax.Array,
    pixel: jax.Array,
    lit: jax.Array | None,
) -> Vector:
    """Linear colours in [0, 1]. `eye` [3]; `pixel`: radians a ray covers, [] ;
    `lit` [T, P]: whether the first lamp reaches the point; None: it always does."""
    ex, ey, ez = (eye[i] - seen.point[i] for i in range(3))
    view = unit((ex, ey, ez))
    tables = [jnp.asarray(t, jnp.float32).reshape(-1, t[0].size) for t in materials]
    finish = _rows(jnp.concatenate(tables, axis=1)[material], seen.primitive)
    facing = jnp.maximum(dot(seen.normal, view), 0.0)
    base = _albedo(seen, finish, pixel * seen.distance / (facing + 0.05))
    shine, exponent = finish[8], 128 * finish[9] + 1
    light = _ambient(seen, lights, facing)
    gloss = (jnp.zeros_like(facing),) * 3
    for lamp in range(lights.diffuse.shape[0]):
        reach = lit if lamp == 0 and lit is not None else jnp.ones_like(facing)
        toward = _toward(seen.point, lights, lamp)
        lambert = jnp.maximum(dot(seen.normal, toward), 0.0) * reach
        half = unit(add(toward, view))
        peak = _power(jnp.maximum(dot(seen.normal, half), 0.0), exponent)
        glint = peak * shine * (lambert > 0)
        light = add(light, _tint(lambert, lights.diffuse[lamp]))
        gloss = add(gloss, _tint(glint * reach, lights.specular[lamp]))
    lit_base = tuple(b * l for b, l in zip(base, light))
    full = add((lit_base[0], lit_base[1], lit_base[2]), gloss)
    r, g, b = (_shoulder(channel) for channel in full)
    return _choose(seen.hit, (r, g, b), _sky(lights, view))


def _albedo(
    seen: Surface, finish: list[jax.Array], footprint: jax.Array
) -> Vector:
    """Texture between the two colours, fading where a pixel covers a repetition."""
    kind, scale = finish[6:8]
    nx, ny, nz = (jnp.abs(n) for n in seen.local_normal)
    x, y, z = (p / scale for p in seen.local)
    along_x = (nx > ny) & (nx > nz)
    u = jnp.where(along_x, y, x)
    v = jnp.where(along_x | (ny > nz), z, y)
    weight = textures.weight(kind, u, v, z)
    sharp = jnp.clip(1.6 - 1.6 * footprint / scale, 0.0, 1.0)
    weight = 0.3 + (weight - 0.3) * sharp * (kind > 0)
    weight = jnp.where(kind > 0, weight, 0.0)
    r, g, b = (
        finish[c] * (1 - weight) + finish[3 + c] * weight
        for c in range(3)
    )
    return r, g, b


def _ambient(seen: Surface, lights: Lights, facing: jax.Array) -> Vector:
    sky = _tint(0.8 + 0.2 * seen.normal[2], lights.ambient)
    return add(sky, _tint(facing, lights.headlight))


def _toward(point: Vector, lights: Lights, lamp: int) -> Vector:
    x, y, z = (
        jnp.where(
            lights.directional[lamp],
            -lights.direction[lamp, axis],
            lights.position[lamp, axis] - point[axis],
        )
        for axis in range(3)
    )
    return unit((x, y, z))


def _sky(lights: Lights, view: Vector) -> Vector:
    # `view` points back to the eye, so looking up is a negative z.
    return _tint(0.92 - 0.12 * view[2], lights.sky)


def _power(x: jax.Array, exponent: jax.Array) -> jax.Array:
    """Schlick's rational stand-in for x ** exponent: no logarithm."""
    return x / (exponent - exponent * x + x)


def _shoulder(x: jax.Array) -> jax.Array:
    """Identity below 0.75, then bends towards 1: no burnt-out patches."""
    over = jnp.maximum(x - 0.75, 0.0) * 4
    return jnp.minimum(x, 0.75) + 0.25 * over / (1 + over)


def _rows(table: jax.Array, index: jax.Array) -> list[jax.Array]:
    """The columns of table [n, K] at index [T, P], as K arrays [T, P]."""

    def gather(table: jax.Array, index: jax.Array) -> jax.Array:
        return table.T.at[:, index].get(mode="promise_in_bounds")

    found = traverse.apart(gather, table, index)
    return [found[column] for column in range(table.shape[1])]


def _tint(amount: jax.Array, rgb: jax.Array) -> Vector:
    return amount * rgb[0], amount * rgb[1], amount * rgb[2]


def _choose(mask: jax.Array, a: Vector, b: Vector) -> Vector:
    x, y, z = (jnp.where(mask, p, q) for p, q in zip(a, b))
    return x, y, z
