"""The pinhole camera: where a point lands in its picture."""

import jax
import jax.numpy as jnp

from omnivla_jax.render.types import Camera


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
