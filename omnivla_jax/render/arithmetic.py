"""Vectors as triples of arrays, and the few operations that all intersections share.

A trailing axis of 3 would make every load strided.
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

Vector: TypeAlias = tuple[Any, ...]  # 3 broadcastable arrays or scalars: x, y, z

NEAR = 1e-3  # m along the direction
FAR = 1e9
TINY = 1e-12


def smaller(a: Any, b: Any) -> jax.Array:
    """The minimum; jnp.minimum also propagates NaN, which costs three instructions."""
    return jnp.where(a < b, a, b)


def larger(a: Any, b: Any) -> jax.Array:
    """The maximum, without propagating NaN."""
    return jnp.where(a > b, a, b)


def nonzero(x: jax.Array) -> jax.Array:
    """`x`, or TINY where `x` is closer to 0 than that: a safe denominator."""
    return jnp.where(jnp.abs(x) < TINY, TINY, x)


def valid_hit(distance: jax.Array, hit: jax.Array) -> jax.Array:
    """`distance` if it is a valid hit in (NEAR, FAR), else FAR.

    Args:
      distance: float32, along the ray's direction.
      hit: bool, same shape.

    Returns:
      float32, same shape. Comparisons with NaN are False, so NaN becomes FAR.
    """
    return jnp.where(hit & (distance > NEAR) & (distance < FAR), distance, FAR)


def dot(a: Vector, b: Vector) -> jax.Array:
    """The inner product, component by component."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def add(a: Vector, b: Vector) -> Vector:
    """The sum."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def unit(vector: Vector) -> Vector:
    """Scale to length 1; a zero vector stays zero."""
    scale = jax.lax.rsqrt(jnp.maximum(dot(vector, vector), 1e-20))
    return vector[0] * scale, vector[1] * scale, vector[2] * scale
