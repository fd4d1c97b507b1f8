"""Moves the agent's camera as LIBERO-Plus does: around, up, away, and turned in place.

Source: LIBERO-Plus, `_setup_camera` of its problem classes; its rounding to four
decimals is left out. Axes: B environments.
"""

import dataclasses
from typing import Any, NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets.arenas import CAMERA_BODY
from omnivla_jax.sim.state import PhysicsState, Scene, choose
from omnivla_jax.world.perturbations import kinds

PIVOT = np.array([0.0, 0.0, 0.8], np.float32)  # m, in every arena
# How many of LIBERO-Plus' variants are of each kind: azimuth alone, azimuth with the
# camera raised, distance alone, orientation alone.
KINDS = ("azimuth", "elevation", "distance", "orientation")
KIND_COUNTS = (443, 549, 313, 294)
KIND_SHARES = tuple(count / sum(KIND_COUNTS) for count in KIND_COUNTS)
MAX_AZIMUTH, RAISED = 75, 15  # degrees
DISTANCES = (115, 200)  # percent
MAX_TURN = 10  # degrees, even numbers from 2
_AZIMUTHS, _DISTANCES = 15, 17  # numbers of an interval that is held out or not


class CameraShift(NamedTuple):
    """The fields of LIBERO-Plus' `_view_H_V_S_R_E`, angles signed; float32 [B] each."""

    azimuth: jax.Array  # H, degrees about the world's z axis
    elevation: jax.Array  # V, degrees: raises the camera
    distance: jax.Array  # S, percent of the nominal distance from PIVOT
    yaw: jax.Array  # R, degrees about the world's z axis, in place
    pitch: jax.Array  # E, degrees about the world's y axis, in place


def no_change(batch: int) -> CameraShift:
    """The nominal camera of `batch` environments."""
    zero = jnp.zeros(batch)
    return CameraShift(zero, zero, jnp.full(batch, 100.0), zero, zero)


def draw_any_kind(
    keys: jax.Array,
    *,
    kind_shares: Sequence[float | jax.Array] = KIND_SHARES,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> CameraShift:
    """Draw one of LIBERO-Plus' four kinds, and its numbers, for each environment.

    Args:
      keys, severity, split: as of `perturbation.draw`.
      kind_shares: how often each of `KINDS` is drawn; the sum is 1.

    Returns:
      Leaves [B].
    """
    chex.assert_rank(keys, 1)
    shares = jnp.asarray(kind_shares, jnp.float32)
    chex.assert_shape(shares, (len(KINDS),))
    kind_keys, keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    kind = jax.vmap(lambda key: jax.random.choice(key, len(KINDS), p=shares))(kind_keys)
    active = kind[:, None] == jnp.arange(len(KINDS))
    return draw(keys, active, severity=severity, split=split)


def draw(
    keys: jax.Array,
    active: jax.Array,
    *,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> CameraShift:
    """Draw the numbers of known kinds; the smallest of the original's always remain.

    Args:
      keys, severity, split: as of `perturbation.draw`.
      active: bool [B, 4], of `KINDS`; elevation includes an azimuth.

    Returns:
      Leaves [B], nominal where nothing is active.
    """
    chex.assert_shape(active, (len(keys), len(KINDS)))
    first, last = DISTANCES
    span = last - first + 1

    def one(key: jax.Array, active: jax.Array, severity: jax.Array) -> CameraShift:
        azimuth_key, distance_key, yaw_key, pitch_key = jax.random.split(key, 4)
        options: dict[str, Any] = {"split": split, "below": severity}
        azimuth = _signed(azimuth_key, MAX_AZIMUTH, width=_AZIMUTHS, **options)
        distance = first + kinds.pick(distance_key, span, width=_DISTANCES, **options)
        yaw, pitch = (
            2 * _signed(k, MAX_TURN // 2, width=1, **options)
            for k in (yaw_key, pitch_key)
        )
        active = active & (severity > 0)
        return CameraShift(
            azimuth=jnp.where(active[0] | active[1], azimuth, 0.0),
            elevation=jnp.where(active[1], RAISED * severity, 0.0),
            distance=jnp.where(active[2], distance.astype(jnp.float32), 100.0),
            yaw=jnp.where(active[3], yaw, 0.0),
            pitch=jnp.where(active[3], pitch, 0.0),
        )

    return jax.vmap(one)(keys, active, jnp.broadcast_to(severity, keys.shape))


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
    return choose(is_shifted(shift), (moved, turned), (position, quaternion))


def is_shifted(shift: CameraShift) -> jax.Array:
    """Which cameras are not nominal.

    Args:
      shift: leaves [B].

    Returns:
      bool [B].
    """
    nominal = no_change(len(shift.azimuth))
    differs = jax.tree.map(lambda a, b: a != b, shift, nominal)
    return jnp.stack(jax.tree.leaves(differs)).any(axis=0)


def mount(scene: Scene, physics: PhysicsState, shift: CameraShift) -> PhysicsState:
    """The state with its agent camera moved, for good: its pose is data of the state.

    Args:
      scene: the static tables.
      physics: B environments under the nominal camera.
      shift: leaves [B].

    Returns:
      The state, the same bits where nothing is shifted.
    """
    body, row = scene.bodies[CAMERA_BODY], scene.posed_bodies.index(CAMERA_BODY)
    nominal = physics.xpos[:, body], physics.xquat[:, body]
    position, quaternion = move(*nominal, shift)
    moved = dataclasses.replace(
        physics,
        xpos=physics.xpos.at[:, body].set(position),
        xquat=physics.xquat.at[:, body].set(quaternion),
        fixture_pos=physics.fixture_pos.at[:, row].set(position),
        fixture_quat=physics.fixture_quat.at[:, row].set(quaternion),
    )
    return choose(is_shifted(shift), moved, physics)


def _turn(axis: str, degrees: jax.Array) -> jax.Array:
    """Quaternions [B, 4] about the world's y or z axis."""
    half = jnp.deg2rad(degrees) / 2
    zero = jnp.zeros_like(half)
    vector = (zero, jnp.sin(half), zero) if axis == "y" else (zero, zero, jnp.sin(half))
    return jnp.stack([jnp.cos(half), *vector], axis=-1)


def _signed(key: jax.Array, high: int, **options: Any) -> jax.Array:
    """A float32: one of 1..high with a random sign; options of `kinds.pick`."""
    size_key, sign_key = jax.random.split(key)
    size = 1 + kinds.pick(size_key, high, **options)
    return jnp.where(jax.random.bernoulli(sign_key), 1.0, -1.0) * size
