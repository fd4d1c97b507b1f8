"""Rotations for batches of quaternions and matrices, in NumPy or jax.numpy.

The C engine's controller runs in NumPy on the host and MJX's in the compiled program;
`xp` is the array module, so that both run the same lines. Quaternions are wxyz. Sizes
are asserted except in what that controller calls in every substep.
Axes: leading axes are batch, the last is 4 (quaternion), 3 (vector) or 3 x 3.
"""

from typing import Any

import chex

Array = Any  # np.ndarray or jax.Array


def matrix(quaternion: Array, xp: Any) -> Array:
    """Rotation matrices of unit quaternions.

    Args:
      quaternion: [..., 4].
      xp: the array module.

    Returns:
      [..., 3, 3], of the quaternions' dtype, as are all results here.
    """
    chex.assert_axis_dimension(quaternion, -1, 4)
    w, x, y, z = (quaternion[..., i] for i in range(4))
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def multiply(first: Array, second: Array, xp: Any) -> Array:
    """Hamilton products: the rotation `second`, then `first`.

    Args:
      first, second: quaternions [..., 4], whose batch axes broadcast.
      xp: the array module.

    Returns:
      [..., 4].
    """
    chex.assert_shape([first, second], (..., 4))
    a, b, c, d = (first[..., i] for i in range(4))
    w, x, y, z = (second[..., i] for i in range(4))
    return xp.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=-1,
    )


def from_axis_angle(rotation: Array, xp: Any) -> Array:
    """Unit quaternions of rotation vectors.

    Args:
      rotation: axis times angle [..., 3], rad.
      xp: the array module.

    Returns:
      [..., 4].
    """
    chex.assert_axis_dimension(rotation, -1, 3)
    # The small floor keeps 0/0 away; sin(h)/h is already 1/2 there.
    half = 0.5 * xp.sqrt(xp.sum(rotation * rotation, axis=-1, keepdims=True) + 1e-16)
    return xp.concatenate([xp.cos(half), rotation * (0.5 * xp.sin(half) / half)], -1)


def to_axis_angle(quaternion: Array, xp: Any) -> Array:
    """Rotation vectors of unit quaternions; the angle is not wrapped, as in robosuite.

    Args:
      quaternion: [..., 4].
      xp: the array module.

    Returns:
      Axis times angle [..., 3], the angle in [0, 2 pi) rad.
    """
    chex.assert_axis_dimension(quaternion, -1, 4)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    norm = xp.sqrt(xp.sum(vector * vector, axis=-1, keepdims=True) + 1e-16)
    return vector / norm * (2 * xp.arctan2(norm, w))


def inverse(quaternion: Array, xp: Any) -> Array:
    """Inverse rotations: the conjugates of unit quaternions.

    Args:
      quaternion: [..., 4].
      xp: the array module.

    Returns:
      [..., 4].
    """
    chex.assert_axis_dimension(quaternion, -1, 4)
    return quaternion * xp.asarray([1.0, -1.0, -1.0, -1.0], dtype=quaternion.dtype)


def rotate(quaternion: Array, vector: Array, xp: Any) -> Array:
    """Vectors turned by unit quaternions.

    Args:
      quaternion: [..., 4].
      vector: [..., 3], whose batch axes broadcast with the quaternions'.
      xp: the array module.

    Returns:
      [..., 3].
    """
    chex.assert_axis_dimension(quaternion, -1, 4)
    w, axis = quaternion[..., :1], quaternion[..., 1:]
    twice = 2 * cross(axis, vector, xp)
    return vector + w * twice + cross(axis, twice, xp)


def turn_about_z(quaternion: Array, yaw: Array, xp: Any) -> Array:
    """Unit quaternions turned about the vertical.

    Args:
      quaternion: [..., 4], whose batch axes broadcast with those of `yaw`.
      yaw: [...], rad.
      xp: the array module.

    Returns:
      [..., 4].
    """
    zero = xp.zeros_like(yaw)
    turn = xp.stack([xp.cos(yaw / 2), zero, zero, xp.sin(yaw / 2)], axis=-1)
    return multiply(turn, quaternion, xp)


def cross(first: Array, second: Array, xp: Any) -> Array:
    """Cross products; `np.cross` takes five times as long.

    Args:
      first, second: vectors [..., 3], whose batch axes broadcast.
      xp: the array module.

    Returns:
      [..., 3].
    """

    def shifted(vector: Array, count: int) -> Array:
        return xp.concatenate([vector[..., count:], vector[..., :count]], axis=-1)

    return shifted(first, 1) * shifted(second, 2) - shifted(first, 2) * shifted(
        second, 1
    )
