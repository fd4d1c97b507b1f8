"""Losses of stage I: points, normals, cameras and confidence, after Pi3.

    L = L_points + w_camera L_camera + w_normal L_normal + w_confidence L_confidence

after `alignment.align`. Source: Wang et al. 2025 (arXiv 2507.13347).

Axes: B batch, V camera views, S image side; components lead pixels.
"""

import functools
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core.types import Geometry
from omnivla_jax.models.encoders.spatial_decoder import unit
from omnivla_jax.train.spatial.alignment import (
    EPSILON,
    AlignedGeometry,
    align,
    matmul,
    point_weights,
)

HUBER_DELTA = 0.1  # of translations, in mean distances of the points
TRANSLATION_WEIGHT = 100.0
SMOOTH_ANGLE = np.deg2rad(3.0)  # below, the loss of an angle is quadratic
MIN_ANGLE, MAX_ANGLE = np.deg2rad(1.0), np.deg2rad(90.0)  # angles are clamped
# Depth edge: neighbours that differ by more, relatively, in pictures of Pi3's size. The
# depth of a slanted table differs by as many times more as pixels are wider.
EDGE_TOLERANCE, EDGE_SIDE = 0.03, 224
ROWS_PER_BAND = 4  # one of which has its points' normals judged
# arccos(x) = sqrt(1 - x) times a polynomial of x in [0, 1], highest power first.
ARC_COSINE = (
    *(-0.0012624911, 0.0066700901, -0.0170881256, 0.0308918810),
    *(-0.0501743046, 0.0889789874, -0.2145988016, 1.5707963050),
)
CONFIDENT_ERROR = 0.05  # a pixel's weighted error below which it is right


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms beside the points'; Pi3's, the paper states none."""

    camera: float = 0.1
    normal: float = 1.0
    confidence: float = 0.05


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


def point_error(aligned: AlignedGeometry, valid: jax.Array) -> jax.Array:
    """Weighted L1 distance of every point; nearer points count more.

    Args:
      aligned: of B scenes.
      valid: bool [B, V, S, S].

    Returns:
      float32 [B, V, S, S].
    """
    weight = point_weights(aligned.true.points[:, :, 2], valid)
    distance = jnp.abs(aligned.predicted.points - aligned.true.points).sum(2)
    return weight * distance


def normal_loss(aligned: AlignedGeometry, valid: jax.Array) -> jax.Array:
    """Loss of the angles of normals: the decoded ones' and the points'.

    The points' normals are the four cross products of a pixel's neighbours, in every
    fourth row; their mean loss counts by 1 / (4 S), as in Pi3, because neighbours make
    noisy normals. Both leave out pixels at depth edges.

    Args:
      aligned: of B scenes.
      valid: bool [B, V, S, S].

    Returns:
      float32 [].
    """
    smooth = valid & ~depth_edges(aligned.true.points[:, :, 2], valid)
    angles = clamped_angle(aligned.predicted.normals, aligned.true.normals)
    decoded = _masked_mean(smooth_angle(angles), smooth)
    inside = row_bands(smooth)[..., 1, 1:-1]
    of_predicted = cross_normals(aligned.predicted.points)
    of_true = cross_normals(aligned.true.points)
    of_points = sum(
        _masked_mean(smooth_angle(clamped_angle(a, b)), inside)
        for a, b in zip(of_predicted, of_true)
    )
    return decoded + of_points / (4 * valid.shape[-1])


def row_bands(maps: jax.Array) -> jax.Array:
    """The first three of every four rows.

    Args:
      maps: [..., S, S].

    Returns:
      [..., S // 4, 3, S].
    """
    bands = maps.shape[-2] // ROWS_PER_BAND
    whole = maps[..., : bands * ROWS_PER_BAND, :]
    shape = (*maps.shape[:-2], bands, ROWS_PER_BAND, maps.shape[-1])
    return whole.reshape(shape)[..., :3, :]


def cross_normals(points: jax.Array) -> list[jax.Array]:
    """Four normals of inner pixels, from pairs of their neighbours.

    Args:
      points: float32 [B, V, 3, S, S].

    Returns:
      float32 [B, V, 3, S // 4, S - 2] each: of the middle rows of `row_bands`.
    """
    chex.assert_axis_dimension(points, 2, 3)
    bands = row_bands(points)
    centre = bands[..., 1, 1:-1]
    around = [
        bands[..., 0, 1:-1] - centre,  # above
        bands[..., 1, :-2] - centre,  # left
        bands[..., 2, 1:-1] - centre,  # below
        bands[..., 1, 2:] - centre,  # right
    ]
    following = around[1:] + around[:1]
    return [unit(_cross(a, b), axis=2) for a, b in zip(around, following)]


def depth_edges(depth: jax.Array, valid: jax.Array) -> jax.Array:
    """Find pixels whose 3 x 3 neighbours span more than the tolerance.

    Args:
      depth: float32 [B, V, S, S].
      valid: bool, the same shape; invalid neighbours make an edge.

    Returns:
      bool [B, V, S, S].
    """
    side = depth.shape[-1]
    near = jnp.where(valid, depth, 0.0)
    # An array of its own: fused, each of the nine reads would pad it again.
    border = ((0, 0), (0, 0), (1, 1), (1, 1))
    padded = jax.lax.optimization_barrier(jnp.pad(near, border, mode="edge"))
    windows = [
        padded[..., row : row + side, column : column + side]
        for row in range(3)
        for column in range(3)
    ]
    highest = functools.reduce(jnp.maximum, windows)
    lowest = functools.reduce(jnp.minimum, windows)
    tolerance = EDGE_TOLERANCE * max(EDGE_SIDE / side, 1.0)
    return (highest - lowest) > tolerance * jnp.maximum(near, EPSILON)


def clamped_angle(first: jax.Array, second: jax.Array) -> jax.Array:
    """Angles between unit vectors, clamped to 1 to 90 degrees.

    The arc cosine is Abramowitz and Stegun's 4.4.46 (2e-8): XLA's own takes an arc
    tangent and a cross product, several times as long.

    Args:
      first, second: float32 [B, V, 3, ...].

    Returns:
      float32 [B, V, ...], rad, with a finite gradient, 0 where clamped.
    """
    cosine = jnp.clip((first * second).sum(2), np.cos(MAX_ANGLE), np.cos(MIN_ANGLE))
    series = jnp.zeros_like(cosine)
    for coefficient in ARC_COSINE:  # Horner's scheme
        series = series * cosine + coefficient
    return jnp.sqrt(1 - cosine) * series


def angle(first: jax.Array, second: jax.Array) -> jax.Array:
    """Angles between vectors, with a finite gradient everywhere.

    Args:
      first, second: float32 [B, V, 3, S, S].

    Returns:
      float32 [B, V, S, S], rad.
    """
    sine = jnp.sqrt(jnp.square(_cross(first, second)).sum(2) + EPSILON**2)
    return jnp.arctan2(sine, (first * second).sum(2))


def smooth_angle(radians: jax.Array) -> jax.Array:
    """Pi3's loss of clamped angles, quadratic below 3 degrees.

    Args:
      radians: float32 [...].

    Returns:
      float32 [...].
    """
    quadratic = 0.5 * jnp.square(radians) / SMOOTH_ANGLE
    return jnp.where(radians < SMOOTH_ANGLE, quadratic, radians - 0.5 * SMOOTH_ANGLE)


def rotation_angle(first: jax.Array, second: jax.Array) -> jax.Array:
    """Angles between rotations, with a finite gradient at 0.

    The Frobenius norm of their difference is 2 sqrt(2) sin(angle / 2).

    Args:
      first, second: float32 [..., 3, 3].

    Returns:
      float32 [...], rad.
    """
    chex.assert_shape([first, second], (..., 3, 3))
    square = jnp.sum(jnp.square(first - second), axis=(-1, -2))
    sine = jnp.sqrt(square + EPSILON**2) / np.sqrt(8.0)
    return 2 * jnp.arcsin(jnp.minimum(sine, 1 - EPSILON))


def camera_loss(predicted: Geometry, true: Geometry) -> jax.Array:
    """Mean loss of the relative poses of all ordered pairs of views.

    Args:
      predicted, true: of B scenes, in the same units.

    Returns:
      float32 [].
    """
    views = true.rotation.shape[1]
    total = jnp.zeros(())
    for i in range(views):
        for j in range(views):
            if i != j:
                (turn, shift), (true_turn, true_shift) = (
                    relative_pose(geometry, i, j) for geometry in (predicted, true)
                )
                huber = _huber(shift - true_shift).mean()
                turned = rotation_angle(turn, true_turn).mean()
                total += TRANSLATION_WEIGHT * huber + turned
    return total / max(views * (views - 1), 1)


def relative_pose(geometry: Geometry, i: int, j: int) -> tuple[jax.Array, jax.Array]:
    """The pose of camera j in the frame of camera i.

    Args:
      geometry: of B scenes.
      i, j: views.

    Returns:
      Rotation [B, 3, 3] and translation [B, 3].
    """
    turned = geometry.rotation[:, i].swapaxes(-1, -2)
    away = geometry.translation[:, j] - geometry.translation[:, i]
    shift = matmul(turned, away[..., None])[..., 0]
    return matmul(turned, geometry.rotation[:, j]), shift


def _huber(difference: jax.Array) -> jax.Array:
    size = jnp.abs(difference)
    quadratic = 0.5 * jnp.square(size)
    linear = HUBER_DELTA * (size - 0.5 * HUBER_DELTA)
    return jnp.where(size < HUBER_DELTA, quadratic, linear)


def _cross(first: jax.Array, second: jax.Array) -> jax.Array:
    """Cross products along axis 2, [B, V, 3, S, S]."""
    (a, b, c), (x, y, z) = (
        [vector[:, :, i] for i in range(3)] for vector in (first, second)
    )
    return jnp.stack([b * z - c * y, c * x - a * z, a * y - b * x], axis=2)


def _masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    return jnp.where(mask, values, 0.0).sum() / jnp.maximum(mask.sum(), 1)
