"""Normalised policy units and back: one affine map for states, one for actions.

Where a policy was trained on actions relative to the state, `delta_actions` makes them
before they are normalised, and `absolute_actions` undoes it after `unnormalize`.

A policy may have more dimensions than the robot (pi0's 32): `padded` adds them, as
zeros in normalised units, as openpi does, and `unpad_dims` takes them away.

Axes: N samples, any leading axes "...", D dimensions of a state or an action, H actions
of a chunk, S dimensions of a state.
"""

from typing import TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

# A dimension that hardly moves in the demonstrations must not explode when it does:
# a millimetre, a milliradian or a thousandth of an action is the finest unit.
MINIMUM_SCALE = 1e-3
AnyArray = TypeVar("AnyArray", jax.Array, np.ndarray)


@struct.dataclass
class Affine:
    """normalised = (x - offset) / scale."""

    offset: jax.Array  # float32 [D]
    scale: jax.Array  # float32 [D], positive


@struct.dataclass
class Normalizer:
    """The maps of a data set; a pytree, so that it is saved with the parameters."""

    state: Affine
    action: Affine


def from_moments(mean: jax.Array, std: jax.Array) -> Affine:
    """Mean 0 and standard deviation 1 (pi0), from mean [D] and std [D]."""
    chex.assert_rank([mean, std], 1)
    return Affine(jnp.asarray(mean), jnp.maximum(std, MINIMUM_SCALE))


def from_quantiles(q01: jax.Array, q99: jax.Array) -> Affine:
    """The 1 % and 99 % quantiles [D] become -1 and 1 (pi0.5); nothing is clipped."""
    chex.assert_rank([q01, q99], 1)
    half = (jnp.asarray(q99) - q01) / 2
    return Affine((jnp.asarray(q01) + q99) / 2, jnp.maximum(half, MINIMUM_SCALE))


def moments(samples: np.ndarray) -> Affine:
    """`from_moments` of samples [N, D]."""
    samples = _checked(samples)
    return from_moments(samples.mean(axis=0), samples.std(axis=0))


def quantiles(samples: np.ndarray) -> Affine:
    """`from_quantiles` of samples [N, D]."""
    q01, q99 = np.quantile(_checked(samples), [0.01, 0.99], axis=0)
    return from_quantiles(q01, q99)


def identity_normalizer(proprio_dim: int, action_dim: int) -> Normalizer:
    """Maps that change nothing, of the shapes that a policy needs."""
    state, action = (
        Affine(jnp.zeros(dims), jnp.ones(dims)) for dims in (proprio_dim, action_dim)
    )
    return Normalizer(state, action)


def pad_dims(x: jax.Array, width: int) -> jax.Array:
    """x [..., D] -> [..., width], zeros behind the D <= width."""
    missing = width - x.shape[-1]
    if not missing:  # then not even the compiled program shall know of padding
        return x
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])


def unpad_dims(x: jax.Array, dimensions: int) -> jax.Array:
    """x [..., D] -> its first `dimensions`, [..., dimensions]; undoes `padded`."""
    if x.shape[-1] == dimensions:
        return x
    return x[..., :dimensions]


def normalize(affine: Affine, x: jax.Array) -> jax.Array:
    """x [..., D] in physical or simulator units -> normalised [..., D]."""
    chex.assert_axis_dimension(x, -1, affine.offset.shape[0])
    return (x - affine.offset) / affine.scale


def unnormalize(affine: Affine, x: jax.Array) -> jax.Array:
    """The inverse of `normalize`. Actions may leave [-1, 1]: the simulator clips."""
    chex.assert_axis_dimension(x, -1, affine.offset.shape[0])
    return x * affine.scale + affine.offset


def delta_actions(
    actions: AnyArray, state: AnyArray, mask: tuple[bool, ...]
) -> AnyArray:
    """Actions relative to the state that their chunk starts in; NumPy or JAX arrays.

    pi0's LIBERO checkpoints subtract position and rotation of the hand from actions
    that are motions already: a quirk that their weights depend on.

    Args:
      actions: float32 [..., H, D], in the robot's units.
      state: float32 [..., S], S >= D: likewise, at the chunk's first action.
      mask: of the D dimensions, those that the same ones of the state are taken from;
        (): none.
    """
    return actions - _masked_state(actions, state, mask) if any(mask) else actions


def absolute_actions(
    actions: AnyArray, state: AnyArray, mask: tuple[bool, ...]
) -> AnyArray:
    """The inverse of `delta_actions`, which describes the arguments."""
    return actions + _masked_state(actions, state, mask) if any(mask) else actions


def _masked_state(
    actions: AnyArray, state: AnyArray, mask: tuple[bool, ...]
) -> AnyArray:
    """What `delta_actions` subtracts, [..., 1, D]: zeros where `mask` is False."""
    chex.assert_axis_dimension(actions, -1, len(mask))
    chex.assert_axis_dimension_gteq(state, -1, len(mask))
    return (state[..., : len(mask)] * np.asarray(mask, np.float32))[..., None, :]


def _checked(samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 2 or not len(samples) or not np.isfinite(samples).all():
        raise ValueError(
            f"Normalisation needs finite samples [N, D], but got shape "
            f"{samples.shape} with {np.sum(~np.isfinite(samples))} non-finite values."
        )
    return samples
