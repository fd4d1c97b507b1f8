"""Vectors, quaternions (wxyz) and matrices whose components lead.

What follows them is batch: wide machines hold the last axis in their lanes, so that it
must not be an axis of three or four.
Axes: 3, 4 or 3 x 3 components, then any shape `...` that broadcasts.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.rotation import Array


def dot(a: Array, b: Array) -> jax.Array:
    """Return the inner products [...] of vectors [3, ...]."""
    # Written out: as a dot_general XLA would call a matrix product for each pair.
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Array, b: Array) -> jax.Array:
    """Return the cross products [3, ...] of vectors [3, ...]."""
    return jnp.stack([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)])


def matvec(matrix: Array, vector: Array) -> jax.Array:
    """Return the products [n, ...] of matrices [n, 3, ...] and vectors [3, ...]."""
    return dot(matrix.swapaxes(0, 1), vector[:, None])


def matvec_t(matrix: Array, vector: Array) -> jax.Array:
    """Return the products [n, ...] of transposed matrices [3, n, ...] and vectors."""
    return dot(matrix, vector[:, None])


def matmul(a: Array, b: Array) -> jax.Array:
    """Return the products [n, m, ...] of matrices [n, 3, ...] and [3, m, ...]."""
    return dot(a.swapaxes(0, 1)[:, :, None], b[:, None])


def rotation_matrix(quaternion: Array) -> jax.Array:
    """Return the matrices [3, 3, ...] of unit quaternions [4, ...]."""
    w, x, y, z = quaternion
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    flat = jnp.stack([entry for row in rows for entry in row])
    return flat.reshape((3, 3) + flat.shape[1:])


def multiply(first: Array, second: Array) -> jax.Array:
    """Return Hamilton products [4, ...]: the rotation `second`, then `first`."""
    a, b, c, d = first
    w, x, y, z = second
    return jnp.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ]
    )


def rotate(quaternion: Array, vector: Array) -> jax.Array:
    """Return vectors [3, ...] turned by unit quaternions [4, ...]."""
    twice = 2 * cross(quaternion[1:], vector)
    return vector + quaternion[0] * twice + cross(quaternion[1:], twice)


def from_axis_angle(turn: Array) -> jax.Array:
    """Return unit quaternions [4, ...] of rotation vectors [3, ...], rad."""
    # The small floor keeps 0/0 away; sin(h)/h is already 1/2 there.
    half = 0.5 * jnp.sqrt(dot(turn, turn) + 1e-16)
    return jnp.concatenate([jnp.cos(half)[None], turn * (0.5 * jnp.sin(half) / half)])


def take_rows(values: jax.Array, rows: np.ndarray) -> jax.Array:
    """Return the static `rows` of the second axis of `values` [n, m, ...].

    As slices of consecutive or equal rows, which a kernel may hold, unlike gathers.
    """
    parts, start = [], 0
    while start < len(rows):
        step = int(rows[start + 1 : start + 2].sum() - rows[start])
        step = step if step in (0, 1) else 1
        same = rows[start:] == rows[start] + step * np.arange(len(rows) - start)
        count = len(same) if same.all() else int(same.argmin())
        first = rows[start]
        part = values[:, first : first + 1 + step * (count - 1)]
        shape = (len(values), count, *values.shape[2:])
        parts.append(jnp.broadcast_to(part, shape))
        start += count
    return jnp.concatenate(parts, axis=1) if parts else values[:, :0]
