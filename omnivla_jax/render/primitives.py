"""Rays against primitives in the primitives' own frames, and their surface normals.

Every function of INTERSECT takes the rays' origin and direction (triples, broadcastable
to [R] rays) and the primitive's size, and returns the distance float32 [R]: the hit is
`origin + distance * direction`, FAR where nothing is hit. Directions need not be unit.
Only front faces are seen, so a camera inside a shape looks out of it, as in OpenGL with
culling. Lengths in m; sizes as in `types.SIZES`.
"""

from typing import Any, Callable

import jax
import jax.numpy as jnp

from omnivla_jax.render import cones
from omnivla_jax.render.arithmetic import (
    TINY,
    Vector,
    dot,
    larger,
    nonzero,
    smaller,
    valid_hit,
)


def _ball(origin: Vector, direction: Vector, radius: Any) -> jax.Array:
    """Solve |o + t d| = radius by radius^2 |d|^2 - |o x d|^2, which does not cancel."""
    (ox, oy, oz), (dx, dy, dz) = origin, direction
    cross = (oy * dz - oz * dy, oz * dx - ox * dz, ox * dy - oy * dx)
    square = dot(direction, direction)
    discriminant = radius * radius * square - dot(cross, cross)
    root = jnp.sqrt(larger(discriminant, jnp.zeros_like(discriminant)))
    distance = (-dot(origin, direction) - root) / nonzero(square)
    return valid_hit(distance, discriminant > 0)


def _plane(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """The plane z = 0, seen from z > 0, of half sides `size` (0 = infinite)."""
    distance = -origin[2] / nonzero(direction[2])
    x = jnp.abs(origin[0] + distance * direction[0])
    y = jnp.abs(origin[1] + distance * direction[1])
    inside = ((size[0] <= 0) | (x <= size[0])) & ((size[1] <= 0) | (y <= size[1]))
    return valid_hit(distance, inside & (direction[2] < 0))


def _box(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """A box of half sides `size`, by slabs."""
    enter, leave = [], []
    for o, d, half in zip(origin, direction, size):
        inverse = 1 / nonzero(d)
        low, high = (-half - o) * inverse, (half - o) * inverse
        enter.append(smaller(low, high))
        leave.append(larger(low, high))
    near = larger(larger(enter[0], enter[1]), enter[2])
    far = smaller(smaller(leave[0], leave[1]), leave[2])
    return valid_hit(near, near <= far)


def _ellipsoid(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Semi-axes `size`: the unit sphere in stretched space. Serves spheres too."""
    (ox, oy, oz), (dx, dy, dz), (a, b, c) = origin, direction, size
    return _ball((ox / a, oy / b, oz / c), (dx / a, dy / b, dz / c), 1.0)


def _tube(origin: Vector, direction: Vector, radius: jax.Array) -> Vector:
    """The infinite cylinder along z: (enter, leave, discriminant)."""
    (ox, oy, _), (dx, dy, _) = origin, direction
    square = larger(dx * dx + dy * dy, jnp.full_like(dx, TINY))
    cross = ox * dy - oy * dx
    discriminant = square * radius * radius - cross * cross
    root = jnp.sqrt(larger(discriminant, jnp.zeros_like(discriminant)))
    along, inverse = -(ox * dx + oy * dy), 1 / square
    return (along - root) * inverse, (along + root) * inverse, discriminant


def _capsule(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Radius size[0], half length size[1] of the axis along z.

    The shape lies inside its infinite tube: the point where a ray enters that tube
    decides which of side, lower ball and upper ball it can hit first.
    """
    radius, half, _ = size
    enter, _, discriminant = _tube(origin, direction, radius)
    z = origin[2] + enter * direction[2]
    side = valid_hit(enter, (discriminant > 0) & (jnp.abs(z) <= half))
    end = jnp.where(z > 0, half, -half)
    centred = (origin[0], origin[1], origin[2] - end)
    return jnp.where(jnp.abs(z) <= half, side, _ball(centred, direction, radius))


def _cylinder(origin: Vector, direction: Vector, size: Vector) -> jax.Array:
    """Radius size[0], half length size[1] along z: tube and slab intersected."""
    radius, half, _ = size
    enter, leave, discriminant = _tube(origin, direction, radius)
    inverse = 1 / nonzero(direction[2])
    middle, reach = -inverse * origin[2], jnp.abs(inverse) * half
    near, far = larger(enter, middle - reach), smaller(leave, middle + reach)
    return valid_hit(near, (discriminant > 0) & (near <= far))


# (origin, direction, size) -> distance [R]; polytopes differ: see `polytopes`.
INTERSECT: dict[str, Callable[[Vector, Vector, Vector], jax.Array]] = {
    "plane": _plane,
    "box": _box,
    "sphere": _ellipsoid,
    "capsule": _capsule,
    "cylinder": _cylinder,
    "ellipsoid": _ellipsoid,
    "cone": cones.cone,
    "cup": cones.cup,
}


def normal(kind: str, point: Vector, size: Vector) -> Vector:
    """The outward normal of a primitive at a point of its surface.

    Args:
      kind: one of `types.KINDS`.
      point: [R] each, in the primitive's frame, m.
      size: scalars or [R] each; of a polytope, whose faces are primitives of their own
        in `PosedPrimitives`, the face's normal. Sizes of another kind may be zeros:
        their normals are never selected.

    Returns:
      [R] each, in the primitive's frame, of any length.
    """
    x, y, z = point
    match kind:
        case "plane":
            zero = jnp.zeros_like(x)
            return zero, zero, zero + 1
        case "box":  # the face whose plane the point is nearest to
            gap = [half - jnp.abs(p) for p, half in zip(point, size)]
            on_x = (gap[0] <= gap[1]) & (gap[0] <= gap[2])
            on_y = ~on_x & (gap[1] <= gap[2])
            faces = (on_x, on_y, ~on_x & ~on_y)
            return tuple(
                jnp.where(face, jnp.sign(p), 0.0) for face, p in zip(faces, point)
            )
        case "sphere" | "ellipsoid":
            return tuple(p / larger(s * s, s * 0 + TINY) for p, s in zip(point, size))
        case "capsule":
            return x, y, z - jnp.clip(z, -size[1], size[1])
        case "cylinder":
            cap = size[1] - jnp.abs(z) < size[0] - jnp.sqrt(x * x + y * y)
            zero = jnp.zeros_like(z)
            return tuple(
                jnp.where(cap, a, b) for a, b in ((zero, x), (zero, y), (z, zero))
            )
        case "cone":
            return cones.cone_normal(point, size)
        case "cup":
            return cones.cup_normal(point, size)
        case "polytope":
            return tuple(jnp.broadcast_to(s, jnp.shape(p)) for s, p in zip(size, point))
        case _:
            raise ValueError(f"Unknown primitive {kind!r}: see render.types.KINDS.")
