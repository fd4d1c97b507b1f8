"""Vectors as triples of arrays, and the few operations that all intersections share.

A trailing axis of 3 would make every load strided.
"""

from typing import Any, Callable, TypeAlias

import jax
import jax.numpy as jnp

Vector: TypeAlias = tuple[Any, ...]  # 3 broadcastable arrays or scalars: x, y, z

NEAR = 1e-3  # m along the direction
FAR = 1e9
TINY = 1e-12


def smaller(a: Any, b: Any) -> jax.Array:
    """The minimum; jnp.minimum also propagates NaN, which costs three instructions.

    Args:
      a, b: float32, broadcastable.

    Returns:
      float32 of their common shape; `b` where one is NaN.
    """
    return jnp.where(a < b, a, b)


def larger(a: Any, b: Any) -> jax.Array:
    """The maximum, without propagating NaN.

    Args:
      a, b: float32, broadcastable.

    Returns:
      float32 of their common shape; `b` where one is NaN.
    """
    return jnp.where(a > b, a, b)


def nonzero(x: jax.Array) -> jax.Array:
    """A denominator that is safe: TINY where it is closer to 0 than that.

    Args:
      x: float32.

    Returns:
      float32, same shape.
    """
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
    """The inner product, component by component.

    Args:
      a, b: vectors of broadcastable components.

    Returns:
      float32 of the components' common shape.
    """
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def add(a: Vector, b: Vector) -> Vector:
    """The sum."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """The vector product.

    Args:
      a, b: vectors of broadcastable components.

    Returns:
      Components of their common shape.
    """
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def unit(vector: Vector) -> Vector:
    """Scale to length 1; a zero vector stays zero."""
    scale = jax.lax.rsqrt(jnp.maximum(dot(vector, vector), 1e-20))
    return vector[0] * scale, vector[1] * scale, vector[2] * scale


def fusion_barrier(f: Callable[..., jax.Array], *operands: Any) -> jax.Array:
    """Compute `f(*operands)` apart from the operations that make the operands.

    On a CPU, a conditional whose other branch is never taken: XLA fuses nothing into
    it, whereas it drops optimization barriers before it fuses. Elsewhere nothing.

    Args:
      f: a function of the operands.
      operands: pytrees of arrays; the last leaf's first element is never negative (a
        key or an index), which XLA cannot know.

    Returns:
      What `f` returns.
    """

    def zeros(*operands: Any) -> jax.Array:
        result = jax.eval_shape(f, *operands)
        return jnp.zeros(result.shape, result.dtype)

    if jax.default_backend() != "cpu":
        return f(*operands)
    last = jax.tree.leaves(operands)[-1]
    always = last[(0,) * last.ndim] >= 0
    return jax.lax.cond(always, f, zeros, *operands)
