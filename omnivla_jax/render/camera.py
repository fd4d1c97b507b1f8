"""The pinhole camera: where a pixel looks and where a point lands.

Axes: R rays, in reading order.
A direction is right * column + up * row - back, so that the distance along a ray is
the depth along the viewing axis.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render.primitives import Vector
from omnivla_jax.render.types import Camera


def film(*, size: int, supersample: int = 1, first: int = 0, stride: int = 1) -> Vector:
    """The rays' weights in `axes`: columns [R], rows [R] in [-1, 1], and -1 (forward).

    Rays are in reading order, from the top left: every `stride`-th sample along a side,
    from `first` on.
    """
    count = size * supersample
    centre = (np.arange(first, count, stride) + 0.5) * (2 / count) - 1
    centre = centre.astype(np.float32)
    return np.tile(centre, centre.size), -np.repeat(centre, centre.size), -1.0


def axes(camera: Camera) -> jax.Array:
    """The rotation [3, 3], right and up scaled to half a picture at 1 m."""
    half = jnp.tan(jnp.deg2rad(camera.fovy) / 2)
    return camera.rotation * jnp.stack([half, half, jnp.ones_like(half)])


def project(camera: Camera, points: jax.Array, *, size: int) -> jax.Array:
    """World points [..., 3] to (column, row, depth) [..., 3], in pixels and m.

    A pixel's centre has half-integer coordinates; row 0 is the top edge.
    """
    local = jnp.matmul(
        points - camera.position, camera.rotation, precision=jax.lax.Precision.HIGHEST
    )
    depth = -local[..., 2]
    scale = size / (2 * jnp.tan(jnp.deg2rad(camera.fovy) / 2) * depth)
    column = size / 2 + local[..., 0] * scale
    row = size / 2 - local[..., 1] * scale
    return jnp.stack([column, row, depth], axis=-1)
