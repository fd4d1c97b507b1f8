"""Pi3's alignment: both geometries in the same units, up to the scale of the truth.

Both are divided by the mean distance of their points and expressed relative to their
first camera; the prediction is then scaled by the s that minimises its weighted L1
distance. Source: Wang et al. 2025 (arXiv 2507.13347).

Axes: B batch, V camera views, S image side; components lead pixels.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core.types import Geometry

MAX_SCALE_POINTS = 4096  # that the scale is fitted on, as in Pi3
MAX_SCALE, BISECTIONS = 1e3, 26  # scales from 1/1000 to 1000, to 2e-7 relatively
EPSILON = 1e-6


class AlignedGeometry(NamedTuple):
    """Prediction and truth in units of the true points' mean distance."""

    predicted: Geometry  # scaled; poses relative to the first camera
    true: Geometry  # poses relative to the first camera
    unit_length: jax.Array  # float32 [B], m: the true points' mean distance


def align(predicted: Geometry, true: Geometry, valid: jax.Array) -> AlignedGeometry:
    """Normalise both geometries and scale the prediction to the truth.

    Args:
      predicted, true: of B scenes.
      valid: bool [B, V, S, S].

    Returns:
      Both in the same units. The scale has no gradient: points would otherwise be
      pulled through all others.
    """
    predicted, _ = _normalise(relative_to_first(predicted), valid)
    true, unit_length = _normalise(relative_to_first(true), valid)
    scale = jax.lax.stop_gradient(_best_scale(predicted.points, true.points, valid))
    return AlignedGeometry(_scale(predicted, scale), true, unit_length)


def relative_to_first(geometry: Geometry) -> Geometry:
    """Express poses in the first camera's frame.

    Args:
      geometry: of B scenes.

    Returns:
      The same points and normals, other poses.
    """
    first = geometry.rotation[:, :1].swapaxes(-1, -2)
    away = geometry.translation - geometry.translation[:, :1]
    return geometry._replace(
        rotation=matmul(first, geometry.rotation),
        translation=matmul(first, away[..., None])[..., 0],
    )


def point_weights(depth: jax.Array, valid: jax.Array) -> jax.Array:
    """Weights 1 / max(z, a tenth of the scene's mean z) of pixels.

    Args:
      depth: float32 [B, V, S, S].
      valid: bool [B, V, S, S].

    Returns:
      float32 [B, V, S, S].
    """
    total = jnp.where(valid, depth, 0.0).sum((1, 2, 3), keepdims=True)
    mean = total / jnp.maximum(valid.sum((1, 2, 3), keepdims=True), 1)
    return 1 / (jnp.maximum(depth, 0.1 * mean) + EPSILON)


def matmul(first: jax.Array, second: jax.Array) -> jax.Array:
    """Multiply matrices in full precision.

    Args:
      first: float32 [..., n, k].
      second: float32 [..., k, m].

    Returns:
      float32 [..., n, m].
    """
    return jnp.matmul(first, second, precision=jax.lax.Precision.HIGHEST)


def _normalise(geometry: Geometry, valid: jax.Array) -> tuple[Geometry, jax.Array]:
    """`geometry` over the mean distance of its valid points, and that distance [B]."""
    distance = jnp.sqrt(jnp.square(geometry.points).sum(2) + EPSILON**2)
    total = jnp.where(valid, distance, 0.0).sum((1, 2, 3))
    mean = total / jnp.maximum(valid.sum((1, 2, 3)), 1)
    mean = jnp.maximum(mean, EPSILON)
    return _scale(geometry, 1 / mean), mean


def _scale(geometry: Geometry, factor: jax.Array) -> Geometry:
    return geometry._replace(
        points=geometry.points * factor[:, None, None, None, None],
        translation=geometry.translation * factor[:, None, None],
    )


def _best_scale(predicted: jax.Array, true: jax.Array, valid: jax.Array) -> jax.Array:
    """argmin_s sum w |s p - t| of each scene, [B]: the weighted median of t / p.

    The sum is convex, and its slope at s is the mass w |p| of the ratios below s less
    that of the ratios above: bisection finds the sign change to float precision.
    """
    weight = jnp.where(valid, point_weights(true[:, :, 2], valid), 0.0)
    batch = len(valid)
    step = math.ceil((valid[0].size / MAX_SCALE_POINTS) ** 0.5)
    pick = (..., slice(step // 2, None, step), slice(step // 2, None, step))
    p, t = predicted[pick], true[pick]
    mass = weight[:, :, None][pick] * jnp.abs(p)
    usable = jnp.abs(p) > EPSILON
    ratio = (t / jnp.where(usable, p, 1.0)).reshape(batch, -1)
    mass = jnp.where(usable, mass, 0.0).reshape(batch, -1)
    half = 0.5 * mass.sum(-1)

    def bisect(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        low, high = bounds
        middle = 0.5 * (low + high)
        below = jnp.where(ratio <= jnp.exp(middle)[:, None], mass, 0.0).sum(-1) >= half
        return jnp.where(below, low, middle), jnp.where(below, middle, high)

    limit = jnp.full(batch, np.log(MAX_SCALE), jnp.float32)
    low, high = jax.lax.fori_loop(0, BISECTIONS, bisect, (-limit, limit))
    return jnp.exp(0.5 * (low + high))
