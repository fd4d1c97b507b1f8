"""Small dense symmetric systems of a batch.

Axes: V unknowns; B environments last.
"""

import chex
import jax


def solve(matrix: jax.Array, side: jax.Array) -> jax.Array:
    """Return x of A x = b.

    Args:
      matrix: A [V, V, B], symmetric and positive definite.
      side: b [V, B].

    Returns:
      [V, B].
    """
    chex.assert_shape(matrix, (len(side), len(side), side.shape[1]))
    factor = jax.scipy.linalg.cho_factor(matrix.transpose(2, 0, 1))
    return jax.scipy.linalg.cho_solve(factor, side.T[..., None])[..., 0].T
