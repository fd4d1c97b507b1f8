"""Moves the agent's camera as LIBERO-Plus does: around, up, away, and turned in place.

Source: LIBERO-Plus, `_setup_camera` of its problem classes; its rounding to four
decimals is left out. Axes: B environments.
"""

from typing import NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import rotation

PIVOT = np.array([0.0, 0.0, 0.8], np.float32)  # m, in every arena
# How many of LIBERO-Plus' variants are of each kind: azimuth alone, azimuth with the
# camera raised, distance alone, orientation alone.
KINDS = ("azimuth", "elevation", "distance", "orientation")
KIND_COUNTS = (443, 549, 313, 294)
KIND_SHARES = tuple(count / sum(KIND_COUNTS) for count in KIND_COUNTS)
MAX_AZIMUTH, RAISED = 75, 15  # degrees
DISTANCES = (115, 200)  # percent
MAX_TURN = 10  # degrees, even numbers from 2


class CameraShift(NamedTuple):
    """The fields of LIBERO-Plus' `_view_H_V_S_R_E`, angles signed; float32 [B] each."""

    azimuth: jax.Array  # H, degrees about the world's z axis
    elevation: jax.Array  # V, degrees: raises the camera
    distance: jax.Array  # S, percent of the nominal distance from PIVOT
    yaw: jax.Array  # R, degrees about the world's z axis, in place
    pitch: jax.Array  # E, degrees about the world's y axis, in place


def no_shift(batch: int) -> CameraShift:
    """The nominal camera of `batch` environments."""
    zero = jnp.zeros(batch)
    return CameraShift(zero, zero, jnp.full(batch, 100.0), zero, zero)


def draw(
    keys: jax.Array,
    *,
    severity: float | jax.Array = 1.0,
    kinds: Sequence[float | jax.Array] = KIND_SHARES,
) -> CameraShift:
    """Draw one of LIBERO-Plus' four kinds, and its numbers, for each environment.

    Args:
      keys: typed keys [B]; consumed.
      severity: in [0, 1], one or [B], scales all shifts; at 1 they have the
        original's ranges.
      kinds: how often each of `KINDS` is drawn; the sum is 1.

    Returns:
      Leaves [B].
    """
    chex.assert_rank(keys, 1)
    shares = jnp.asarray(kinds, jnp.float32)
    chex.assert_shape(shares, (len(KINDS),))

    def one(key: jax.Array) -> CameraShift:
        kind_key, azimuth_key, distance_key, yaw_key, pitch_key = jax.random.split(
            key, 5
        )
        kind = jax.random.choice(kind_key, len(KINDS), p=shares)
        around, farther, turned = kind <= 1, kind == 2, kind == 3
        azimuth = _signed(azimuth_key, 1, MAX_AZIMUTH, 1)
        distance = jax.random.randint(distance_key, (), DISTANCES[0], DISTANCES[1] + 1)
        return CameraShift(
            azimuth=jnp.where(around, azimuth, 0.0),
            elevation=jnp.where(kind == 1, float(RAISED), 0.0),
            distance=jnp.where(farther, distance.astype(jnp.float32), 100.0),
            yaw=jnp.where(turned, _signed(yaw_key, 1, MAX_TURN // 2, 2), 0.0),
            pitch=jnp.where(turned, _signed(pitch_key, 1, MAX_TURN // 2, 2), 0.0),
        )

    shift = jax.vmap(one)(keys)
    nominal = no_shift(len(keys))
    return jax.tree.map(lambda a, b: b + severity * (a - b), shift, nominal)


def move(
    position: jax.Array, quaternion: jax.Array, shift: CameraShift
) -> tuple[jax.Array, jax.Array]:
    """The pose of the shifted camera; exact where nothing is shifted.

    Args:
      position: float32 [B, 3], nominal, m.
      quaternion: float32 [B, 4] wxyz, nominal.
      shift: leaves [B].

    Returns:
      Position [B, 3] and quaternion [B, 4].
    """
    chex.assert_shape([position, quaternion], [(None, 3), (None, 4)])
    pivot = jnp.asarray(PIVOT)
    raised = _turn("y", -shift.elevation)
    around = _turn("z", shift.azimuth)
    moved = pivot + rotation.rotate(raised, position - pivot, jnp)
    moved = rotation.rotate(around, moved, jnp)
    moved = pivot + (shift.distance / 100)[:, None] * (moved - pivot)
    turned = quaternion
    in_place = (_turn("z", shift.yaw), _turn("y", -shift.pitch))
    for turn in (raised, around, *in_place):
        turned = rotation.multiply(turn, turned, jnp)
    nominal = jax.tree.map(lambda a, b: a == b, shift, no_shift(len(position)))
    unmoved = jnp.stack(jax.tree.leaves(nominal)).all(0)[:, None]
    return jnp.where(unmoved, position, moved), jnp.where(unmoved, quaternion, turned)


def _turn(axis: str, degrees: jax.Array) -> jax.Array:
    """Quaternions [B, 4] about the world's y or z axis."""
    half = jnp.deg2rad(degrees) / 2
    zero = jnp.zeros_like(half)
    vector = (zero, jnp.sin(half), zero) if axis == "y" else (zero, zero, jnp.sin(half))
    return jnp.stack([jnp.cos(half), *vector], axis=-1)


def _signed(key: jax.Array, low: int, high: int, step: int) -> jax.Array:
    """A float32: one of low..high with a random sign, times `step`."""
    size_key, sign_key = jax.random.split(key)
    size = jax.random.randint(size_key, (), low, high + 1)
    sign = jnp.where(jax.random.bernoulli(sign_key), 1.0, -1.0)
    return step * sign * size
