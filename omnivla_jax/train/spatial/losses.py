"""Losses of stage I: points, normals, cameras and confidence, after Pi3.

    L = L_points + w_camera L_camera + w_normal L_normal + w_confidence L_confidence

Before, both geometries are divided by the mean distance of their points, and the true
one is expressed relative to its first camera. The prediction is then scaled by the s
that minimises its weighted L1 distance. Source: Wang et al. 2025 (arXiv 2507.13347).

Axes: B batch, V camera views, S image side; components lead pixels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core.types import Geometry
from omnivla_jax.models.encoders.spatial_decoder import unit

MAX_SCALE_POINTS = 4096  # that the scale is fitted on, as in Pi3
MAX_SCALE, BISECTIONS = 1e3, 26  # scales from 1/1000 to 1000, to 2e-7 relatively
HUBER_DELTA = 0.1  # of translations, in mean distances of the points
TRANSLATION_WEIGHT = 100.0
SMOOTH_ANGLE = np.deg2rad(3.0)  # below, the loss of an angle is quadratic
MIN_ANGLE, MAX_ANGLE = np.deg2rad(1.0), np.deg2rad(90.0)  # angles are clamped
# Depth edge: neighbours that differ by more, relatively, in pictures of Pi3's size. The
# depth of a slanted table differs by as many times more as pixels are wider.
EDGE_TOLERANCE, EDGE_SIDE = 0.03, 224
CONFIDENT_ERROR = 0.05  # a pixel's weighted error below which it is right
EPSILON = 1e-6


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms beside the points'; Pi3's, the paper states none."""

    camera: float = 0.1
    normal: float = 1.0
    confidence: float = 0.05


class AlignedGeometry(NamedTuple):
    """Prediction and truth in units of the true points' mean distance."""

    predicted: Geometry  # scaled; poses relative to the first camera
    true: Geometry  # poses relative to the first camera
    unit_length: jax.Array  # float32 [B], m: the true points' mean distance


def loss(
    predicted: Geometry,
    confidence: jax.Array,
    true: Geometry,
    valid: jax.Array,
    *,
    weights: LossWeights,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The weighted sum of all terms, and each term.

    Args:
      predicted: of the decoder.
      confidence: float32 [B, V, S, S], logits.
      true: in metres.
      valid: bool [B, V, S, S]: pixels that count.
      weights: of the terms.

    Returns:
      float32 [] and {"points", "normal", "camera", "confidence"}, float32 [] each.
    """
    chex.assert_equal_shape([predicted.points, true.points, true.normals])
    chex.assert_equal_shape([confidence, valid])
    aligned = align(predicted, true, valid)
    error = point_error(aligned, valid)
    count = jnp.maximum(valid.sum(), 1)
    right = (jax.lax.stop_gradient(error) < CONFIDENT_ERROR) & valid
    binary = jax.nn.softplus(confidence) - right * confidence
    terms = {
        "points": jnp.where(valid, error, 0.0).sum() / count,
        "normal": normal_loss(aligned, valid),
        "camera": camera_loss(aligned.predicted, aligned.true),
        "confidence": jnp.mean(binary),
    }
    total = (
        terms["points"]
        + weights.normal * terms["normal"]
        + weights.camera * terms["camera"]
        + weights.confidence * terms["confidence"]
    )
    return total, terms


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
    """The same geometry with the first camera's frame as the common one.

    Args:
      geometry: of B scenes.
    """
    first = geometry.rotation[:, :1].swapaxes(-1, -2)
    away = geometry.translation - geometry.translation[:, :1]
    return geometry._replace(
        rotation=_matmul(first, geometry.rotation),
        translation=_matmul(first, away[..., None])[..., 0],
    )


def point_error(aligned: AlignedGeometry, valid: jax.Array) -> jax.Array:
    """Weighted L1 distance of every point, float32 [B, V, S, S]; nearer counts more.

    Args:
      aligned: of B scenes.
      valid: bool [B, V, S, S].
    """
    weight = _point_weights(aligned.true.points[:, :, 2], valid)
    distance = jnp.abs(aligned.predicted.points - aligned.true.points).sum(2)
    return weight * distance


def normal_loss(aligned: AlignedGeometry, valid: jax.Array) -> jax.Array:
    """Loss of the angles of normals, float32 []: the decoded ones' and the points'.

    The points' normals are the four cross products of each pixel's neighbours; their
    mean loss counts by 1 / (4 S), as in Pi3, because neighbours make noisy normals.
    Both leave out pixels at depth edges.

    Args:
      aligned: of B scenes.
      valid: bool [B, V, S, S].
    """
    smooth = valid & ~depth_edges(aligned.true.points[:, :, 2], valid)
    angles = angle(aligned.predicted.normals, aligned.true.normals)
    decoded = _masked_mean(smooth_angle(angles), smooth)
    inside = smooth[..., 1:-1, 1:-1]
    of_predicted = cross_normals(aligned.predicted.points)
    of_true = cross_normals(aligned.true.points)
    of_points = sum(
        _masked_mean(smooth_angle(angle(a, b)), inside)
        for a, b in zip(of_predicted, of_true)
    )
    return decoded + of_points / (4 * valid.shape[-1])


def cross_normals(points: jax.Array) -> list[jax.Array]:
    """Four normals [B, V, 3, S - 2, S - 2] of every inner pixel, of its neighbours.

    Args:
      points: float32 [B, V, 3, S, S].
    """
    chex.assert_axis_dimension(points, 2, 3)
    centre = points[..., 1:-1, 1:-1]
    around = [
        points[..., :-2, 1:-1] - centre,  # above
        points[..., 1:-1, :-2] - centre,  # left
        points[..., 2:, 1:-1] - centre,  # below
        points[..., 1:-1, 2:] - centre,  # right
    ]
    following = around[1:] + around[:1]
    return [unit(_cross(a, b), axis=2) for a, b in zip(around, following)]


def depth_edges(depth: jax.Array, valid: jax.Array) -> jax.Array:
    """Pixels whose 3 x 3 neighbours span more than the tolerance: bool [B, V, S, S].

    Args:
      depth: float32 [B, V, S, S].
      valid: bool, the same shape; invalid neighbours make an edge.
    """
    near = jnp.where(valid, depth, 0.0)
    window, pad = (1, 1, 3, 3), "SAME"
    strides = (1, 1, 1, 1)
    highest = jax.lax.reduce_window(near, -jnp.inf, jax.lax.max, window, strides, pad)
    lowest = jax.lax.reduce_window(near, jnp.inf, jax.lax.min, window, strides, pad)
    tolerance = EDGE_TOLERANCE * max(EDGE_SIDE / depth.shape[-1], 1.0)
    return (highest - lowest) > tolerance * jnp.maximum(near, EPSILON)


def angle(first: jax.Array, second: jax.Array) -> jax.Array:
    """Angles [B, V, S, S] between vectors, rad; the gradient is finite everywhere.

    Args:
      first, second: float32 [B, V, 3, S, S].
    """
    sine = jnp.sqrt(jnp.square(_cross(first, second)).sum(2) + EPSILON**2)
    return jnp.arctan2(sine, (first * second).sum(2))


def smooth_angle(radians: jax.Array) -> jax.Array:
    """Pi3's loss of angles [...]: clamped, and quadratic below 3 degrees."""
    clamped = jnp.clip(radians, MIN_ANGLE, MAX_ANGLE)
    quadratic = 0.5 * jnp.square(clamped) / SMOOTH_ANGLE
    return jnp.where(clamped < SMOOTH_ANGLE, quadratic, clamped - 0.5 * SMOOTH_ANGLE)


def rotation_angle(first: jax.Array, second: jax.Array) -> jax.Array:
    """Angles [...] between rotations [..., 3, 3], rad, with a finite gradient at 0.

    The Frobenius norm of their difference is 2 sqrt(2) sin(angle / 2).
    """
    chex.assert_shape([first, second], (..., 3, 3))
    square = jnp.sum(jnp.square(first - second), axis=(-1, -2))
    sine = jnp.sqrt(square + EPSILON**2) / np.sqrt(8.0)
    return 2 * jnp.arcsin(jnp.minimum(sine, 1 - EPSILON))


def camera_loss(predicted: Geometry, true: Geometry) -> jax.Array:
    """Mean loss of the relative poses of all ordered pairs of views, float32 [].

    Args:
      predicted, true: of B scenes, in the same units.
    """
    views = true.rotation.shape[1]
    losses = [jnp.zeros(())]
    for i in range(views):
        for j in range(views):
            if i != j:
                (turn, shift), (true_turn, true_shift) = (
                    relative_pose(geometry, i, j) for geometry in (predicted, true)
                )
                huber = _huber(shift - true_shift).mean()
                turned = rotation_angle(turn, true_turn).mean()
                losses.append(TRANSLATION_WEIGHT * huber + turned)
    return sum(losses) / max(len(losses) - 1, 1)


def relative_pose(geometry: Geometry, i: int, j: int) -> tuple[jax.Array, jax.Array]:
    """Camera j in the frame of camera i: rotation [B, 3, 3] and translation [B, 3]."""
    turned = geometry.rotation[:, i].swapaxes(-1, -2)
    away = geometry.translation[:, j] - geometry.translation[:, i]
    shift = _matmul(turned, away[..., None])[..., 0]
    return _matmul(turned, geometry.rotation[:, j]), shift


def _huber(difference: jax.Array) -> jax.Array:
    size = jnp.abs(difference)
    quadratic = 0.5 * jnp.square(size)
    linear = HUBER_DELTA * (size - 0.5 * HUBER_DELTA)
    return jnp.where(size < HUBER_DELTA, quadratic, linear)


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


def _point_weights(depth: jax.Array, valid: jax.Array) -> jax.Array:
    """1 / max(z, a tenth of the scene's mean z), [B, V, S, S]."""
    total = jnp.where(valid, depth, 0.0).sum((1, 2, 3), keepdims=True)
    mean = total / jnp.maximum(valid.sum((1, 2, 3), keepdims=True), 1)
    return 1 / (jnp.maximum(depth, 0.1 * mean) + EPSILON)


def _best_scale(predicted: jax.Array, true: jax.Array, valid: jax.Array) -> jax.Array:
    """argmin_s sum w |s p - t| of each scene, [B]: the weighted median of t / p.

    The sum is convex, and its slope at s is the mass w |p| of the ratios below s less
    that of the ratios above: bisection finds the sign change to float precision.
    """
    weight = jnp.where(valid, _point_weights(true[:, :, 2], valid), 0.0)
    batch = len(valid)
    step = max(round((valid[0].size / MAX_SCALE_POINTS) ** 0.5), 1)
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


def _cross(first: jax.Array, second: jax.Array) -> jax.Array:
    """Cross products along axis 2, [B, V, 3, S, S]."""
    (a, b, c), (x, y, z) = (
        [vector[:, :, i] for i in range(3)] for vector in (first, second)
    )
    return jnp.stack([b * z - c * y, c * x - a * z, a * y - b * x], axis=2)


def _masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    return jnp.where(mask, values, 0.0).sum() / jnp.maximum(mask.sum(), 1)


def _matmul(first: jax.Array, second: jax.Array) -> jax.Array:
    return jnp.matmul(first, second, precision=jax.lax.Precision.HIGHEST)
