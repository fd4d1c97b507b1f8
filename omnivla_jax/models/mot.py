"""Mixture of Transformers: one parameter set per expert, one joint attention per layer.

Axes: B batch, T tokens of one stream or of all streams, S tokens of the past,
L layers, N query heads, K key/value heads, C channels of a head, E width of an expert.

A stream is one expert's tokens [B, T, E]. Streams travel in a dict keyed by the
expert's name and are always concatenated in the order of `EXPERTS`, whatever the
order of the dict (JAX sorts dict keys). An absent expert costs nothing.
"""

from dataclasses import dataclass, fields
from typing import Any, Mapping, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.attention import Segment, attend
from omnivla_jax.models.layers import (
    GatedMLP,
    RMSNorm,
    Rotation,
    kernel_init,
    matmul,
    rope,
    rotation,
)

EXPERTS = ("reasoning", "spatial", "action")
Streams = Mapping[str, jax.Array]

# What the backward pass finds stored; everything else is computed again.
REMAT_POLICIES: Mapping[str, Any] = {
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


@dataclass(frozen=True)
class ExpertConfig:
    """Sizes of one expert. Widths are its own, the rest must agree between experts."""

    width: int
    mlp_dim: int
    depth: int
    heads: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class MotConfig:
    """The experts and how their layers are compiled.

    `remat`: a key of REMAT_POLICIES, or None to store every activation.
    `unroll`: layers per step of the scan; unrolling all of a shallow stack lets XLA
    drop what the last layer computes for nobody.
    """

    reasoning: ExpertConfig
    spatial: ExpertConfig | None
    action: ExpertConfig | None
    remat: str | None
    unroll: int

    def __post_init__(self) -> None:
        # Joint attention mixes heads of all experts layer by layer.
        for shared in ("depth", "heads", "kv_heads", "head_dim"):
            values = {n: getattr(e, shared) for n, e in self.experts.items()}
            if len(set(values.values())) > 1:
                raise ValueError(
                    f"Joint attention needs one {shared} for all experts, but got "
                    f"{values}: make them equal (widths and MLPs may differ)."
                )
        if self.remat is not None and self.remat not in REMAT_POLICIES:
            known = ", ".join(REMAT_POLICIES)
            raise ValueError(f"remat is {self.remat!r}; choose None or one of {known}.")

    @property
    def experts(self) -> dict[str, ExpertConfig]:
        """The experts that are present, by name, in the order of `EXPERTS`."""
        present = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: present[name] for name in EXPERTS if present[name] is not None}


class LayerCache(NamedTuple):
    """Keys and values of tokens seen before, batch first."""

    keys: jax.Array  # [B, L, S, K, C]
    values: jax.Array  # [B, L, S, K, C]


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
    """What one expert owns of a layer: norms, projections and a gated MLP."""

    config: ExpertConfig

    def setup(self) -> None:
        self.pre_attention_norm = RMSNorm()
        self.attn = Attention(self.config)
        self.pre_ffw_norm = RMSNorm()
        self.mlp = GatedMLP(self.config.mlp_dim)

    def before(self, x: jax.Array, turn: Rotation) -> tuple[jax.Array, Segment]:
        """Queries, keys and values of this expert's tokens."""
        return self.attn.project(self.pre_attention_norm(x), turn)

    def after(self, x: jax.Array, mixed: jax.Array) -> jax.Array:
        """Take in what attention brought, then the MLP: both are residual."""
        x = x + self.attn.merge(mixed)
        return x + self.mlp(self.pre_ffw_norm(x))


class JointLayer(nn.Module):
    """One layer over all streams; a scan body, hence (carry, x, broadcast...)."""

    config: MotConfig

    @nn.compact
    def __call__(
        self,
        streams: Streams,
        past: Segment | None,
        turn: Rotation,
        mask: jax.Array,
    ) -> tuple[Streams, Segment]:
        names = [name for name in EXPERTS if name in streams]
        cuts = np.cumsum([streams[name].shape[1] for name in names])[:-1]
        sines, cosines = (jnp.split(table, cuts, axis=1) for table in turn)
        turns = dict(zip(names, map(Rotation, sines, cosines)))
        experts = {n: ExpertLayer(self.config.experts[n], name=n) for n in names}
        projected = [experts[n].before(streams[n], turns[n]) for n in names]
        query = jnp.concatenate([query for query, _ in projected], axis=1)
        own = Segment(*(jnp.concatenate(x, 1) for x in zip(*(s for _, s in projected))))
        mixed = attend(query, [own] if past is None else [past, own], mask)
        parts = dict(zip(names, jnp.split(mixed, cuts, axis=1)))
        return {n: experts[n].after(streams[n], parts[n]) for n in names}, own


class FinalNorm(nn.Module):
    """One RMSNorm per stream after the last layer."""

    @nn.compact
    def __call__(self, streams: Streams) -> dict[str, jax.Array]:
        return {name: RMSNorm(name=name)(x) for name, x in streams.items()}


class MixtureOfTransformers(nn.Module):
    """All layers: streams [B, T_e, E_e] -> normed streams and their keys and values.

    Its parameters are {"layers": {expert: ...}, "final_norm": {expert: ...}}, layers
    stacked on axis 0; a call needs the parameters of the experts it passes only.
    """

    config: MotConfig

    @nn.compact
    def __call__(
        self,
        streams: Streams,
        *,
        positions: jax.Array,
        mask: jax.Array,
        past: LayerCache | None = None,
    ) -> tuple[dict[str, jax.Array], LayerCache]:
        """`positions` int32 [B, T], `mask` bool [B, T, S + T]; S = 0 without `past`."""
        self._check(streams, positions)
        depth = self.config.reasoning.depth
        scanned = nn.scan(
            self._layer(),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(1, nn.broadcast, nn.broadcast),
            out_axes=1,
            length=depth,
            unroll=min(self.config.unroll, depth),
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        layers = scanned(self.config, name="layers")
        seen = None if past is None else Segment(past.keys, past.values)
        turn = rotation(positions, self.config.reasoning.head_dim)
        streams, own = layers(dict(streams), seen, turn, mask)
        return FinalNorm(name="final_norm")(streams), LayerCache(own.keys, own.values)

    def _layer(self) -> Any:
        if self.config.remat is None:
            return JointLayer
        policy = REMAT_POLICIES[self.config.remat]
        return nn.remat(JointLayer, policy=policy, prevent_cse=False)

    def _check(self, streams: Streams, positions: jax.Array) -> None:
        known = self.config.experts
        if unknown := set(streams) - set(known):
            raise ValueError(f"No expert {sorted(unknown)}; configured: {list(known)}.")
        chex.assert_rank([*streams.values()], 3)
        for name, x in streams.items():
            chex.assert_axis_dimension(x, 2, known[name].width)
        chex.assert_axis_dimension(
            positions, 1, sum(x.shape[1] for x in streams.values())
        )
