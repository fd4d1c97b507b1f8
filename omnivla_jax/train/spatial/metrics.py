"""Accuracy of predicted geometry: depth, normals, cameras and points.

Depth and points are judged after Pi3's alignment (`alignment.align`), which gives a
prediction the scale of the truth.

Axes: B scenes, V camera views, S image side.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.train.spatial import losses
from omnivla_jax.train.spatial.alignment import EPSILON, AlignedGeometry

DELTA = 1.25  # ratio of depths below which a pixel counts as right


def accuracy(aligned: AlignedGeometry, valid: jax.Array) -> dict[str, jax.Array]:
    """Errors of each scene.

    Args:
      aligned: prediction and truth of B scenes.
      valid: bool [B, V, S, S]: pixels that count.

    Returns:
      float32 [B] each: `abs_rel`, mean relative error of depth; `delta_1.25`, share of
      pixels whose depth is right within that ratio; `normal_angle`, median, degrees;
      `camera_rotation`, degrees, and `camera_translation`, m, between the first view
      and the others, the means over them; `point_error`, mean distance, m.
    """
    guess, truth = aligned.predicted, aligned.true
    chex.assert_equal_shape([guess.points, truth.points])
    depth, true_depth = guess.points[:, :, 2], truth.points[:, :, 2]
    safe = jnp.maximum(true_depth, EPSILON)
    ratio = jnp.maximum(depth / safe, safe / jnp.maximum(depth, EPSILON))
    angles = jnp.rad2deg(losses.angle(guess.normals, truth.normals))
    distance = jnp.linalg.norm(guess.points - truth.points, axis=2)
    flat = jnp.where(valid, angles, jnp.nan).reshape(len(angles), -1)
    turned = losses.rotation_angle(guess.rotation[:, 1:], truth.rotation[:, 1:])
    shift = jnp.linalg.norm((guess.translation - truth.translation)[:, 1:], axis=-1)
    return {
        "abs_rel": _mean(jnp.abs(depth - true_depth) / safe, valid),
        "delta_1.25": _mean((ratio < DELTA).astype(jnp.float32), valid),
        "normal_angle": jnp.nanmedian(flat, axis=1),
        "camera_rotation": jnp.rad2deg(turned).mean(1),
        "camera_translation": shift.mean(1) * aligned.unit_length,
        "point_error": _mean(distance, valid) * aligned.unit_length,
    }


def _mean(values: jax.Array, valid: jax.Array) -> jax.Array:
    """The mean over the valid pixels of each scene, [B]."""
    total = jnp.where(valid, values, 0.0).sum((1, 2, 3))
    return total / jnp.maximum(valid.sum((1, 2, 3)), 1)
