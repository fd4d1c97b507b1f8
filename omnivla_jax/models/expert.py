"""What one expert owns of a layer: norms, the projections of attention, a gated MLP.

Axes: B batch, T tokens, N query heads, K key/value heads, C channels of a head,
E width of the expert, D width of a condition.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.attention import Segment
from omnivla_jax.models.layers import (
    AdaptiveRMSNorm,
    GatedMLP,
    RMSNorm,
    Rotation,
    kernel_init,
    matmul,
    rope,
)

Gate: TypeAlias = jax.Array | float  # [B, 1, E], or 1


@dataclass(frozen=True)
class ExpertConfig:
    """Sizes of one expert. Widths are its own, the rest must agree between experts."""

    width: int
    mlp_dim: int
    depth: int
    heads: int
    kv_heads: int
    head_dim: int


class AttentionInputs(NamedTuple):
    """An expert's part in a joint attention, and the gate on what it brings back."""

    query: jax.Array  # [B, T, N, C], rotated
    segment: Segment
    gate: Gate


class Attention(nn.Module):
    """One expert's projections around the joint attention (openpi's names, shapes)."""

    config: ExpertConfig

    def setup(self) -> None:
        c = self.config
        q_init = kernel_init(("heads", "embed", "head_dim"), in_axis=1, out_axis=(0, 2))
        kv_init = kernel_init(
            (None, "kv_heads", "embed", "head_dim"),
            in_axis=2,
            out_axis=(1, 3),
            batch_axis=(0,),
        )
        out_names = ("heads", "head_dim", "embed")
        out_init = kernel_init(out_names, in_axis=(0, 1), out_axis=2)
        q_shape = (c.heads, c.width, c.head_dim)
        kv_shape = (2, c.kv_heads, c.width, c.head_dim)
        out_shape = (c.heads, c.head_dim, c.width)
        self.q_einsum = self.param("q_einsum", q_init, q_shape)
        self.kv_einsum = self.param("kv_einsum", kv_init, kv_shape)
        self.attn_vec_einsum = self.param("attn_vec_einsum", out_init, out_shape)

    def project(self, x: jax.Array, turn: Rotation) -> tuple[jax.Array, Segment]:
        """x [B, T, E] -> rotated queries [B, T, N, C] and its keys and values."""
        query = per_head(x, self.q_einsum)
        keys, values = (per_head(x, weight) for weight in self.kv_einsum)
        return rope(query, turn), Segment(rope(keys, turn), values)

    def merge(self, mixed: jax.Array) -> jax.Array:
        """Heads [B, T, N, C] -> [B, T, E]."""
        weight = precision.to_compute(self.attn_vec_einsum)
        flat = mixed.reshape(*mixed.shape[:2], -1)
        return matmul(flat, weight.reshape(-1, self.config.width))


def per_head(x: jax.Array, weight: jax.Array) -> jax.Array:
    """x [B, T, E] through weight [N, E, C] -> [B, T, N, C]."""
    heads, width, channels = weight.shape
    flat = precision.to_compute(weight).swapaxes(0, 1).reshape(width, -1)
    return matmul(x, flat).reshape(*x.shape[:2], heads, channels)


class ExpertLayer(nn.Module):
    """What one expert owns of a layer: norms, projections and a gated MLP.

    A norm comes with a gate on the branch it opens; without a condition that is 1.
    """

    config: ExpertConfig
    adaptive: bool  # norms take a condition [B, D]

    def setup(self) -> None:
        norm = AdaptiveRMSNorm if self.adaptive else RMSNorm
        self.pre_attention_norm = norm()
        self.attn = Attention(self.config)
        self.pre_ffw_norm = norm()
        self.mlp = GatedMLP(self.config.mlp_dim)

    def pre_attention(
        self, x: jax.Array, turn: Rotation, condition: jax.Array | None
    ) -> AttentionInputs:
        """What this expert's tokens bring to the joint attention."""
        normed, gate = normalise(self.pre_attention_norm, x, condition)
        return AttentionInputs(*self.attn.project(normed, turn), gate)

    def post_attention(
        self, x: jax.Array, mixed: jax.Array, gate: Gate, condition: jax.Array | None
    ) -> jax.Array:
        """Take in what attention brought, then the MLP: both are residual."""
        x = x + self.attn.merge(mixed) * gate
        normed, gate = normalise(self.pre_ffw_norm, x, condition)
        return x + self.mlp(normed) * gate


def normalise(
    norm: nn.Module, x: jax.Array, condition: jax.Array | None
) -> tuple[jax.Array, Gate]:
    """x [B, T, E] normed, and the gate of the branch that it enters."""
    if condition is None:
        return norm(x), 1.0
    return norm(x, condition)
