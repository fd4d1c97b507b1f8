"""Rays against primitives in the primitives' own frames, and their surface normals.

`origin + distance * direction` is the hit; directions need not be unit. Only front
faces are seen, so a camera inside a shape looks out of it, as in OpenGL with culling.
Where nothing is hit the distance is FAR.
"""

from typing import Any, Callable

import jax
import jax.numpy as jnp

from omnivla_jax.render import cones
from omnivla_jax.render.arithmetic import (
    TINY,
    Vector,
    dot,
    front,
    larger,
    nonzero,
    smaller,
)


def _ball(origin: Vector, direction: Vector, radius: Any) -> jax.Array:
    """|o + t d| = radius by radius^2 |d|^2 - |o x d|^2, which does not cancel."""
    (ox, oy, oz), (dx, dy, dz) = origin, direction
    cross = (oy * dz - oz * dy, oz * dx - ox * dz, ox * dy - oy * dx)
    square = dot(direction, direction)
    rest = radius * radius * square - dot(cross, cross)
    root = jnp.sqrt(larger(rest, jnp.zeros_like(rest)))
    return front((-dot(origin, direction) - root) / nonzero(square), rest > 0)


def plane(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """z = 0, seen from z > 0, of half sides `size` (0 = infinite)."""
    distance = -origin[2] / nonzero(direction[2])
    x = jnp.abs(origin[0] + distance * direction[0])
    y = jnp.abs(origin[1] + distance * direction[1])
    inside = ((size[0] <= 0) | (x <= size[0])) & ((size[1] <= 0) | (y <= size[1]))
    return front(distance, inside & (direction[2] < 0))


def box(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """A box of half sides `size`, by slabs."""
    enter, leave = [], []
    for o, d, half in zip(origin, direction, size):
        inverse = 1 / nonzero(d)
        one, other = (-half - o) * inverse, (half - o) * inverse
        enter.append(smaller(one, other))
        leave.append(larger(one, other))
    near = larger(larger(enter[0], enter[1]), enter[2])
    far = smaller(smaller(leave[0], leave[1]), leave[2])
    return front(near, near <= far)


def ellipsoid(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Semi-axes `size`: the unit sphere in stretched space. Serves spheres too."""
    (ox, oy, oz), (dx, dy, dz), (a, b, c) = origin, direction, size
    return _ball((ox / a, oy / b, oz / c), (dx / a, dy / b, dz / c), 1.0)


def _tube(origin: Vector, direction: Vector, radius: jax.Array) -> Vector:
    """The infinite cylinder along z: (enter, leave, discriminant)."""
    (ox, oy, _), (dx, dy, _) = origin, direction
    square = larger(dx * dx + dy * dy, jnp.full_like(dx, TINY))
    cross = ox * dy - oy * dx
    rest = square * radius * radius - cross * cross
    root = jnp.sqrt(larger(rest, jnp.zeros_like(rest)))
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
    side = front(enter, (rest > 0) & (jnp.abs(z) <= half))
    end = jnp.where(z > 0, half, -half)
    centred = (origin[0], origin[1], origin[2] - end)
    return jnp.where(jnp.abs(z) <= half, side, _ball(centred, direction, radius))


def cylinder(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Radius size[0], half length size[1] along z: tube and slab intersected."""
    radius, half, _ = size
    enter, leave, rest = _tube(origin, direction, radius)
    inverse = 1 / nonzero(direction[2])
    middle, reach = -inverse * origin[2], jnp.abs(inverse) * half
    near, far = larger(enter, middle - reach), smaller(leave, middle + reach)
    return front(near, (rest > 0) & (near <= far))


INTERSECT: dict[str, Callable[[Vector, Vector, Vector], jax.Array]] = {
    "plane": plane,
    "box": box,
    "sphere": ellipsoid,
    "capsule": capsule,
    "cylinder": cylinder,
    "ellipsoid": ellipsoid,
    "cone": cones.cone,
    "cup": cones.cup,
}  # polytopes have their own signature: see `polytopes`


def _plane_normal(point: Vector, size: Vector) -> Vector:
    del size
    zero = jnp.zeros_like(point[0])
    return zero, zero, zero + 1


def _face_normal(point: Vector, size: Vector) -> Vector:
    # Each face of a polytope is a row of `PosedPrimitives` whose size is its normal.
    x, y, z = (jnp.broadcast_to(s, jnp.shape(p)) for s, p in zip(size, point))
    return x, y, z


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
    x, y, z = (p / larger(s * s, s * 0 + TINY) for p, s in zip(point, size))
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
    "cone": cones.cone_normal,
    "cup": cones.cup_normal,
    "polytope": _face_normal,
}
