"""Vectors as triples of arrays, and the few operations that all intersections share.

A trailing axis of 3 would make every load strided.
"""

from typing import Any

import jax
import jax.numpy as jnp

Vector = tuple[Any, Any, Any]  # equally shaped or broadcastable arrays, or scalars

NEAR = 1e-3  # m along the direction
FAR = 1e9
TINY = 1e-12


def smaller(a: Any, b: Any) -> jax.Array:
    """The minimum; jnp.minimum also propagates NaN, which costs three instructions."""
    return jnp.where(a < b, a, b)


def larger(a: Any, b: Any) -> jax.Array:
    """The maximum, of numbers."""
    return jnp.where(a > b, a, b)


def nonzero(x: jax.Array) -> jax.Array:
    """x, but nothing nearer to 0 than TINY."""
    return jnp.where(jnp.abs(x) < TINY, TINY, x)


def front(distance: jax.Array, hit: jax.Array) -> jax.Array:
    """The distance where it is a hit in view, else FAR: never NaN, which is less than
    nothing."""
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
