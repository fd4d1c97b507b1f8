"""Draws pictures of a state together with the true geometry of every pixel.

Axes: B environments, V camera views, S image side.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core.types import Geometry
from omnivla_jax.sim.state import PhysicsState
from omnivla_jax.world.observe import render_images
from omnivla_jax.world.visual_scene import VisualScene, mounted_camera

OUTPUTS = ("rgb", "depth", "normal")
# MuJoCo's camera has y up and looks along -z; here y is down and z is forward.
TO_FORWARD = np.diag([1.0, -1.0, -1.0]).astype(np.float32)


def images_and_geometry(
    visuals: VisualScene, physics: PhysicsState, *, size: int
) -> tuple[jax.Array, Geometry, jax.Array]:
    """Render what policies see, and what it is a picture of.

    Args:
      visuals: shapes, materials, lights and V cameras, as of `observe.render_images`.
      physics: B environments.
      size: image side S, pixels.

    Returns:
      Images uint8 [B, V, S, S, 3], the geometry in metres with the world's frame as the
      common one, and valid bool [B, V, S, S]: False where nothing is hit.
    """
    image = render_images(visuals, physics, size=size, outputs=OUTPUTS)
    cameras = [mounted_camera(mount, physics) for mount in visuals.cameras]
    turned = jnp.stack([camera.rotation for camera in cameras], axis=1) @ TO_FORWARD
    fovy = jnp.stack([camera.fovy for camera in cameras], axis=1)
    geometry = Geometry(
        points=points_of_depth(image.depth, fovy),
        normals=jnp.einsum(
            "bvji,bvrcj->bvirc",
            turned,
            image.normal,
            precision=jax.lax.Precision.HIGHEST,
        ),
        rotation=turned,
        translation=jnp.stack([camera.position for camera in cameras], axis=1),
    )
    return image.rgb, geometry, image.depth > 0


def points_of_depth(depth: jax.Array, fovy: jax.Array) -> jax.Array:
    """Points in the camera's frame, of depths along its axis.

    Args:
      depth: float32 [B, V, S, S], m.
      fovy: float32 [B, V], degrees.

    Returns:
      float32 [B, V, 3, S, S], m.
    """
    size = depth.shape[-1]
    slope = 2 * jnp.tan(jnp.deg2rad(fovy) / 2)[..., None, None] / size
    offset = jnp.arange(size) + 0.5 - size / 2
    scaled = depth * slope
    return jnp.stack([scaled * offset, scaled * offset[:, None], depth], axis=2)
