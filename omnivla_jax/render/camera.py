"""The pinhole camera: projection of points into its image."""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.render.types import Camera


def project(camera: Camera, points: jax.Array, *, size: int) -> jax.Array:
    """Project world points into the image.

    Args:
      camera: one camera, unbatched.
      points: float32 [..., 3], m.
      size: the image side, pixels.

    Returns:
      float32 [..., 3]: column and row in pixels, depth in m along the viewing axis. A
      pixel's centre has half-integer coordinates; row 0 is the top edge.
    """
    chex.assert_shape([points], (..., 3))
    local = jnp.matmul(
        points - camera.position, camera.rotation, precision=jax.lax.Precision.HIGHEST
    )
    depth = -local[..., 2]
    scale = size / (2 * jnp.tan(jnp.deg2rad(camera.fovy) / 2) * depth)
    column = size / 2 + local[..., 0] * scale
    row = size / 2 - local[..., 1] * scale
    return jnp.stack([column, row, depth], axis=-1)
