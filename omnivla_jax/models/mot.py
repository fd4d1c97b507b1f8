"""Mixture of Transformers: one parameter set per expert, one joint attention per layer.

Axes: B batch, T tokens of one stream or of all streams, S tokens of the past,
L layers, K key/value heads, C channels of a head, E width of an expert, D width of a
condition.

A stream is one expert's tokens [B, T, E]. Streams travel in a dict keyed by the
expert's name and are always concatenated in the order of `EXPERTS`, whatever the
order of the dict (JAX sorts dict keys). An absent expert costs nothing. An expert for
which a condition [B, D] is given (the flow time) has adaptive norms.
"""

from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Mapping, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from omnivla_jax.core.sharding import split_batch
from omnivla_jax.models import remat
from omnivla_jax.models.attention import Segment, attend
from omnivla_jax.models.expert import ExpertConfig, ExpertLayer, normalise
from omnivla_jax.models.layers import (
    AdaptiveRMSNorm,
    RMSNorm,
    Rotation,
    rotation,
)

EXPERTS = ("reasoning", "spatial", "action")
INTERMEDIATES = "intermediates"  # Flax's collection of what a caller may look at
Streams = Mapping[str, jax.Array]


@dataclass(frozen=True)
class MotConfig:
    """The experts and how their layers are compiled.

    `remat`: a key of `remat.POLICIES`, or None to store every activation.
    `unroll`: layers per step of the scan; unrolling all of a shallow stack lets XLA
    drop the results of the last layer that nothing reads.
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
        if self.remat is not None and self.remat not in remat.POLICIES:
            known = ", ".join(remat.POLICIES)
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
        conditions: Streams,
    ) -> tuple[Streams, Segment]:
        streams = {name: split_batch(x) for name, x in streams.items()}
        names = [name for name in EXPERTS if name in streams]
        cuts = np.cumsum([streams[name].shape[1] for name in names])[:-1]
        sines, cosines = (jnp.split(table, cuts, axis=1) for table in turn)
        turns = dict(zip(names, map(Rotation, sines, cosines)))
        experts = {
            n: ExpertLayer(self.config.experts[n], n in conditions, name=n)
            for n in names
        }
        inputs = {
            n: experts[n].pre_attention(streams[n], turns[n], conditions.get(n))
            for n in names
        }
        query = jnp.concatenate([inputs[n].query for n in names], axis=1)
        segments = [inputs[n].segment for n in names]
        joined = Segment(*(jnp.concatenate(parts, axis=1) for parts in zip(*segments)))
        # Kept only where a caller asks for them, `policy.attention_share`.
        self.sow(INTERMEDIATES, "queries", query)
        mixed = attend(query, [joined] if past is None else [past, joined], mask)
        parts = dict(zip(names, jnp.split(mixed, cuts, axis=1)))
        after = {
            n: split_batch(
                experts[n].post_attention(
                    streams[n], parts[n], inputs[n].gate, conditions.get(n)
                )
            )
            for n in names
        }
        return after, joined


class FinalNorm(nn.Module):
    """One norm per stream after the last layer; there is no branch left to gate."""

    @nn.compact
    def __call__(self, streams: Streams, conditions: Streams) -> dict[str, jax.Array]:
        normed = {}
        for name, x in streams.items():
            norm = AdaptiveRMSNorm if name in conditions else RMSNorm
            normed[name], _ = normalise(norm(name=name), x, conditions.get(name))
        return normed


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
        conditions: Streams = MappingProxyType({}),
    ) -> tuple[dict[str, jax.Array], LayerCache]:
        """`positions` int32 [B, T], `mask` bool [B, T, S + T]; S = 0 without `past`.

        `conditions` [B, D] by expert: what its adaptive norms depend on.
        """
        self._check(streams, positions)
        depth = self.config.reasoning.depth
        scanned = nn.scan(
            remat.rematerialised(JointLayer, self.config.remat),
            variable_axes={"params": 0, INTERMEDIATES: 0},
            split_rngs={"params": True},
            in_axes=(1, nn.broadcast, nn.broadcast, nn.broadcast),
            out_axes=1,
            length=depth,
            unroll=min(self.config.unroll, depth),
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        layers = scanned(self.config, name="layers")
        seen = None if past is None else Segment(past.keys, past.values)
        turn = rotation(positions, self.config.reasoning.head_dim)
        streams, cache = layers(dict(streams), seen, turn, mask, dict(conditions))
        normed = FinalNorm(name="final_norm")(streams, conditions)
        return normed, LayerCache(cache.keys, cache.values)

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
