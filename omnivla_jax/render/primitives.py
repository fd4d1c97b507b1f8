"""Rays against primitives in the primitives' own frames, and their surface normals.

A vector is a triple of equally shaped (or broadcastable) arrays, one per component: a
trailing axis of 3 would make every load strided. `origin + distance * direction` is the
hit; directions need not be unit. Only front faces are seen, so a camera inside a shape
looks out of it, as in OpenGL with culling. Where nothing is hit the distance is FAR.
"""

from typing import Any, Callable

import jax
import jax.numpy as jnp

Vector = tuple[Any, Any, Any]  # arrays or scalars

NEAR = 1e-3  # m along the direction
FAR = 1e9
_TINY = 1e-12


def _smaller(a: jax.Array, b: jax.Array) -> jax.Array:
    # One instruction; jnp.minimum also propagates NaN, which costs three.
    return jnp.where(a < b, a, b)


def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.where(a > b, a, b)


def _front(distance: jax.Array, hit: jax.Array) -> jax.Array:
    # NaN compares false, so the result is always a positive finite number.
    return jnp.where(hit & (distance > NEAR) & (distance < FAR), distance, FAR)


def _nonzero(x: jax.Array) -> jax.Array:
    return jnp.where(jnp.abs(x) < _TINY, _TINY, x)


def dot(a: Vector, b: Vector) -> jax.Array:
    """The inner product, component by component."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _ball(origin: Vector, direction: Vector, radius: Any) -> jax.Array:
    """|o + t d| = radius by radius^2 |d|^2 - |o x d|^2, which does not cancel."""
    (ox, oy, oz), (dx, dy, dz) = origin, direction
    cross = (oy * dz - oz * dy, oz * dx - ox * dz, ox * dy - oy * dx)
    square = dot(direction, direction)
    rest = radius * radius * square - dot(cross, cross)
    root = jnp.sqrt(_larger(rest, jnp.zeros_like(rest)))
    return _front((-dot(origin, direction) - root) / _nonzero(square), rest > 0)


def plane(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """z = 0, seen from z > 0, of half sides `size` (0 = infinite)."""
    distance = -origin[2] / _nonzero(direction[2])
    x = jnp.abs(origin[0] + distance * direction[0])
    y = jnp.abs(origin[1] + distance * direction[1])
    inside = ((size[0] <= 0) | (x <= size[0])) & ((size[1] <= 0) | (y <= size[1]))
    return _front(distance, inside & (direction[2] < 0))


def box(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """A box of half sides `size`, by slabs."""
    enter, leave = [], []
    for o, d, half in zip(origin, direction, size):
        inverse = 1 / _nonzero(d)
        one, other = (-half - o) * inverse, (half - o) * inverse
        enter.append(_smaller(one, other))
        leave.append(_larger(one, other))
    near = _larger(_larger(enter[0], enter[1]), enter[2])
    far = _smaller(_smaller(leave[0], leave[1]), leave[2])
    return _front(near, near <= far)


def ellipsoid(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Semi-axes `size`: the unit sphere in stretched space. Serves spheres too."""
    (ox, oy, oz), (dx, dy, dz), (a, b, c) = origin, direction, size
    return _ball((ox / a, oy / b, oz / c), (dx / a, dy / b, dz / c), 1.0)


def _tube(origin: Vector, direction: Vector, radius: jax.Array) -> Vector:
    """The infinite cylinder along z: (enter, leave, discriminant)."""
    (ox, oy, _), (dx, dy, _) = origin, direction
    square = _larger(dx * dx + dy * dy, jnp.full_like(dx, _TINY))
    cross = ox * dy - oy * dx
    rest = square * radius * radius - cross * cross
    root = jnp.sqrt(_larger(rest, jnp.zeros_like(rest)))
    along, inverse = -(ox * dx + oy * dy), 1 / square
    return (along - root) * inverse, (along + root) * inverse, rest


def capsule(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Radius size[0], half length size[1] of the axis along z.

    The shape lies inside its infinite tube: where a ray enters that tube decides which
    of side, lower ball and upper ball it can meet first.
    """
    radius, half, _ = size
    enter, _, rest = _tube(origin, direction, radius)
    z = origin[2] + enter * direction[2]
    side = _front(enter, (rest > 0) & (jnp.abs(z) <= half))
    end = jnp.where(z > 0, half, -half)
    centred = (origin[0], origin[1], origin[2] - end)
    return jnp.where(jnp.abs(z) <= half, side, _ball(centred, direction, radius))


def cylinder(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Radius size[0], half length size[1] along z: tube and slab intersected."""
    radius, half, _ = size
    enter, leave, rest = _tube(origin, direction, radius)
    inverse = 1 / _nonzero(direction[2])
    middle, reach = -inverse * origin[2], jnp.abs(inverse) * half
    near, far = _larger(enter, middle - reach), _smaller(leave, middle + reach)
    return _front(near, (rest > 0) & (near <= far))


INTERSECT: dict[str, Callable[[Vector, Vector, Vector], jax.Array]] = {
    "plane": plane,
    "box": box,
    "sphere": ellipsoid,
    "capsule": capsule,
    "cylinder": cylinder,
    "ellipsoid": ellipsoid,
}


def _plane_normal(point: Vector, size: Vector) -> Vector:
    del size
    zero = jnp.zeros_like(point[0])
    return zero, zero, zero + 1


def _box_normal(point: Vector, size: Vector) -> Vector:
    # The face is the one whose plane the point is nearest to.
    gap = [half - jnp.abs(p) for p, half in zip(point, size)]
    x = (gap[0] <= gap[1]) & (gap[0] <= gap[2])
    y = ~x & (gap[1] <= gap[2])
    faces = (x, y, ~x & ~y)
    n = [jnp.where(face, jnp.sign(p), 0.0) for face, p in zip(faces, point)]
    return n[0], n[1], n[2]


def _ellipsoid_normal(point: Vector, size: Vector) -> Vector:
    # A group of another kind may hold zeros; its rows are never selected.
    x, y, z = (p / _larger(s * s, s * 0 + _TINY) for p, s in zip(point, size))
    return x, y, z


def _capsule_normal(point: Vector, size: Vector) -> Vector:
    x, y, z = point
    return x, y, z - jnp.clip(z, -size[1], size[1])


def _cylinder_normal(point: Vector, size: Vector) -> Vector:
    x, y, z = point
    cap = size[1] - jnp.abs(z) < size[0] - jnp.sqrt(x * x + y * y)
    zero = jnp.zeros_like(z)
    return jnp.where(cap, zero, x), jnp.where(cap, zero, y), jnp.where(cap, z, zero)


NORMAL: dict[str, Callable[[Vector, Vector], Vector]] = {
    "plane": _plane_normal,
    "box": _box_normal,
    "sphere": _ellipsoid_normal,
    "capsule": _capsule_normal,
    "cylinder": _cylinder_normal,
    "ellipsoid": _ellipsoid_normal,
}
