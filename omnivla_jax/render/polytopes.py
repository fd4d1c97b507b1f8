"""Convex polytopes as sets of planes, in the frame of the rays.

Axes: F faces, R rays.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.render.arithmetic import (
    FAR,
    Vector,
    dot,
    front,
    nonzero,
    smaller,
)


def polytope(
    direction: Vector, faces: list[tuple[Vector, jax.Array]]
) -> tuple[jax.Array, jax.Array]:
    """Where rays enter the intersection of half spaces: (distance, face), each [R].

    Args:
      direction: of the rays.
      faces: each face's outward normal and how far outside it the rays' origin is
        not (the plane's offset less the normal times the origin).
    """
    near = jnp.full_like(direction[0], -FAR)
    far = jnp.full_like(direction[0], FAR)
    entered = jnp.zeros_like(direction[0], jnp.int32)
    for face, (normal, inside) in enumerate(faces):
        slope = nonzero(dot(normal, direction))
        distance = inside / slope
        enters = (slope < 0) & (distance > near)
        near = jnp.where(enters, distance, near)
        entered = jnp.where(enters, face, entered)
        far = jnp.where((slope > 0), smaller(far, distance), far)
    return front(near, near <= far), entered
