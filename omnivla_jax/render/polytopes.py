"""Convex polytopes as sets of planes, in the frame of the rays.

Axes: F faces, R rays.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.render.arithmetic import (
    FAR,
    Vector,
    dot,
    nonzero,
    smaller,
    valid_hit,
)


def polytope(
    direction: Vector, faces: list[tuple[Vector, jax.Array]]
) -> tuple[jax.Array, jax.Array]:
    """Intersect rays with an intersection of half spaces.

    Args:
      direction: [R] each; need not be unit.
      faces: F pairs of the outward normal and the plane's offset minus the normal
        times the rays' origin: how far inside the half space the origin is.

    Returns:
      Distance float32 [R], FAR without a hit, and the face that is hit int32 [R].
    """
    near = jnp.full_like(direction[0], -FAR)
    far = jnp.full_like(direction[0], FAR)
    hit_face = jnp.zeros_like(direction[0], jnp.int32)
    for face, (normal, inside) in enumerate(faces):
        slope = nonzero(dot(normal, direction))
        distance = inside / slope
        enters = (slope < 0) & (distance > near)
        near = jnp.where(enters, distance, near)
        hit_face = jnp.where(enters, face, hit_face)
        far = jnp.where((slope > 0), smaller(far, distance), far)
    return valid_hit(near, near <= far), hit_face
