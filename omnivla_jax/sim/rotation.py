"""Rotations for batches of quaternions and matrices, in NumPy or jax.numpy.

The C engine's controller runs in NumPy on the host and MJX's in the compiled program;
`xp` is the array module, so that both run the same lines. Quaternions are wxyz.
Axes: leading axes are batch, the last is 4 (quaternion), 3 (vector) or 3 x 3.
"""

from typing import Any

Array = Any  # np.ndarray or jax.Array


def matrix(quaternion: Array, xp: Any) -> Array:
    """Rotation matrices [..., 3, 3] of unit quaternions [..., 4]."""
    w, x, y, z = (quaternion[..., i] for i in range(4))
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def multiply(first: Array, second: Array, xp: Any) -> Array:
    """Hamilton product of quaternions [..., 4]."""
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
    """Unit quaternions [..., 4] of rotation vectors [..., 3] (rad)."""
    # The small floor keeps 0/0 away; sin(h)/h is already 1/2 there.
    half = 0.5 * xp.sqrt(xp.sum(rotation * rotation, axis=-1, keepdims=True) + 1e-16)
    return xp.concatenate([xp.cos(half), rotation * (0.5 * xp.sin(half) / half)], -1)


def to_axis_angle(quaternion: Array, xp: Any) -> Array:
    """Rotation vectors [..., 3] with angle in [0, 2 pi), not wrapped, as robosuite."""
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    norm = xp.sqrt(xp.sum(vector * vector, axis=-1, keepdims=True) + 1e-16)
    return vector / norm * (2 * xp.arctan2(norm, w))


def inverse(quaternion: Array, xp: Any) -> Array:
    """Conjugates of unit quaternions [..., 4]."""
    return quaternion * xp.asarray([1.0, -1.0, -1.0, -1.0], dtype=quaternion.dtype)


def rotate(quaternion: Array, vector: Array, xp: Any) -> Array:
    """Vectors [..., 3] turned by quaternions [..., 4]."""
    w, axis = quaternion[..., :1], quaternion[..., 1:]
    twice = 2 * cross(axis, vector, xp)
    return vector + w * twice + cross(axis, twice, xp)


def cross(first: Array, second: Array, xp: Any) -> Array:
    """Cross products of vectors [..., 3]; `np.cross` takes five times as long."""

    def shifted(vector: Array, count: int) -> Array:
        return xp.concatenate([vector[..., count:], vector[..., :count]], axis=-1)

    return shifted(first, 1) * shifted(second, 2) - shifted(first, 2) * shifted(
        second, 1
    )


def rotation_error(current: Array, goal: Array, xp: Any) -> Array:
    """OSC's orientation error [..., 3]: half the sum of the columns' cross products."""
    products = xp.einsum("...ik,...jk->...ij", current, goal)
    skew = products - products.swapaxes(-1, -2)
    parts = (skew[..., 1, 2:], skew[..., 2, :1], skew[..., 0, 1:2])
    return 0.5 * xp.concatenate(parts, axis=-1)
