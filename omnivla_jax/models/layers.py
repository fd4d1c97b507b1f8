"""The layers that all experts share: norms, RoPE, gated MLP, embeddings.

Axes: B batch, T tokens, N query heads, K key/value heads, C channels of a head,
E width of a stream, F hidden width of an MLP, V words known.
Names, shapes and initial values follow openpi's Gemma, so that its trees fit.
"""

from typing import Any, Callable, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision

EPSILON = 1e-6
MAX_WAVELENGTH = 10_000.0


def kernel_init(
    names: tuple[str | None, ...],
    *,
    in_axis: int | tuple[int, ...],
    out_axis: int | tuple[int, ...],
    batch_axis: tuple[int, ...] = (),
) -> Callable[..., Any]:
    """LeCun-normal initial values that carry logical axis names."""
    init = nn.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis
    )
    return nn.with_logical_partitioning(init, names)


def matmul(x: jax.Array, weight: jax.Array) -> jax.Array:
    """x [..., E] @ weight [E, F] -> [..., F], over flattened leading axes.

    The gradient of a product over two leading axes makes XLA's CPU backend copy
    transposed activations element by element; flattened it takes half the time.
    """
    flat = x.reshape(-1, x.shape[-1]) @ weight
    return flat.reshape(*x.shape[:-1], weight.shape[-1])


class Dense(nn.Module):
    """x W + b on the last axis, in the dtype of `x`; `names` are logical axes.

    `from_zero`: W starts at 0 instead of LeCun-normal.
    """

    features: int
    names: tuple[str | None, str | None]
    from_zero: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = kernel_init(self.names, in_axis=0, out_axis=1)
        if self.from_zero:
            init = nn.with_logical_partitioning(nn.initializers.zeros, self.names)
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        zeros = nn.with_logical_partitioning(nn.initializers.zeros, self.names[1:])
        bias = self.param("bias", zeros, (self.features,))
        return matmul(x, kernel.astype(x.dtype)) + bias.astype(x.dtype)


class RMSNorm(nn.Module):
    """x / rms(x) * (1 + scale): float32 inside, scale starts at 0."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        zeros = nn.with_logical_partitioning(nn.initializers.zeros, ("embed",))
        scale = self.param("scale", zeros, (x.shape[-1],))
        return precision.to_compute(_unit_rms(x) * (1 + scale))


class AdaptiveRMSNorm(nn.Module):
    """x / rms(x) * (1 + scale) + shift, and a gate for what follows (pi0.5's adaRMS).

    x [B, T, E] and condition [B, D] -> normed [B, T, E], gate [B, 1, E]. Scale, shift
    and gate are linear in the condition and start at 0, so that a fresh residual
    branch `x + gate * branch` passes x through. Float32 inside.
    """

    @nn.compact
    def __call__(
        self, x: jax.Array, condition: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        chex.assert_rank([x, condition], [3, 2])
        dense = Dense(
            3 * x.shape[-1], ("embed", None), from_zero=True, name="modulation"
        )
        modulation = precision.to_float32(dense(condition))[:, None]
        scale, shift, gate = jnp.split(modulation, 3, axis=-1)
        normed = _unit_rms(x) * (1 + scale) + shift
        return precision.to_compute(normed), precision.to_compute(gate)


def _unit_rms(x: jax.Array) -> jax.Array:
    """x / rms(x) over the last axis, float32."""
    wide = precision.to_float32(x)
    variance = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    return wide * jax.lax.rsqrt(variance + EPSILON)


class LayerNorm(nn.Module):
    """The image encoders' norm: float32 inside, back to the compute dtype after."""

    epsilon: float = EPSILON

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = nn.with_logical_partitioning(nn.initializers.ones, ("embed",))
        bias = nn.with_logical_partitioning(nn.initializers.zeros, ("embed",))
        norm = nn.LayerNorm(
            self.epsilon,
            dtype=jnp.float32,
            scale_init=scale,
            bias_init=bias,
            name="norm",
        )
        return precision.to_compute(norm(x))


class GatedMLP(nn.Module):
    """gelu(x W_0) * (x W_1) projected back, gelu in its tanh form, no biases."""

    hidden: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        gating_init = kernel_init(
            (None, "embed", "mlp"), in_axis=1, out_axis=2, batch_axis=(0,)
        )
        linear_init = kernel_init(("mlp", "embed"), in_axis=0, out_axis=1)
        gating = self.param("gating_einsum", gating_init, (2, width, self.hidden))
        linear = self.param("linear", linear_init, (self.hidden, width))
        gating, linear = precision.to_compute((gating, linear))
        return matmul(nn.gelu(matmul(x, gating[0])) * matmul(x, gating[1]), linear)


class WordEmbedder(nn.Module):
    """tokens int32 [B, L] -> [B, L, E], scaled by sqrt(E) as Gemma does."""

    vocab: int
    width: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        chex.assert_rank(tokens, 2)
        start = nn.initializers.normal(self.width**-0.5)
        init = nn.with_logical_partitioning(start, ("vocab", "embed"))
        table = self.param("input_embedding", init, (self.vocab, self.width))
        return precision.to_compute(table[tokens]) * self.width**0.5


class Rotation(NamedTuple):
    """Sines and cosines of every position's angles, shared by all layers and heads."""

    sine: jax.Array  # float32 [B, T, C / 2]
    cosine: jax.Array  # float32 [B, T, C / 2]


def rotation(positions: jax.Array, channels: int) -> Rotation:
    """Angles of positions int32 [B, T]: position / 10000^(2 i / C) radians."""
    chex.assert_rank(positions, 2)
    half = channels // 2
    timescale = MAX_WAVELENGTH ** (jnp.arange(half, dtype=jnp.float32) / half)
    angle = positions[..., None] / timescale
    return Rotation(jnp.sin(angle), jnp.cos(angle))


def rope(x: jax.Array, turn: Rotation) -> jax.Array:
    """Rotate x [B, T, N, C]: channel i of the first half pairs with i of the second.

    Float32 inside, the compute dtype outside.
    """
    chex.assert_rank([x, turn.sine], [4, 3])
    sine, cosine = turn.sine[:, :, None], turn.cosine[:, :, None]
    first, second = jnp.split(precision.to_float32(x), 2, axis=-1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return precision.to_compute(jnp.concatenate(turned, axis=-1))


def posemb_sincos(
    tau: jax.Array, width: int, *, min_period: float = 4e-3, max_period: float = 4.0
) -> jax.Array:
    """Sines and cosines of flow time tau [B] -> float32 [B, width], width even.

    Periods run geometrically from `min_period` to `max_period` (openpi's values).
    """
    if width % 2:
        raise ValueError(f"posemb_sincos needs an even width, not {width}.")
    chex.assert_rank(tau, 1)
    fraction = jnp.linspace(0.0, 1.0, width // 2)
    period = min_period * (max_period / min_period) ** fraction
    angle = 2 * jnp.pi * precision.to_float32(tau)[:, None] / period
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
