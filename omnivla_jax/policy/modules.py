"""The Linen modules of a policy and how they are applied to its parameter tree."""

from typing import Iterable, NamedTuple

from omnivla_jax.core.types import PyTree
from omnivla_jax.models.encoders.siglip import Siglip
from omnivla_jax.models.encoders.spatial_encoder import SpatialEncoder
from omnivla_jax.models.heads.value import ValueHead
from omnivla_jax.models.layers import WordEmbedder
from omnivla_jax.models.mot import MixtureOfTransformers
from omnivla_jax.policy.config import PolicyConfig

MOT_PARTS = ("layers", "final_norm")


class Modules(NamedTuple):
    """The modules that all action heads share, without parameters."""

    siglip: Siglip
    embedder: WordEmbedder
    spatial_encoder: SpatialEncoder | None
    mot: MixtureOfTransformers
    value_head: ValueHead


def build_modules(config: PolicyConfig) -> Modules:
    """The modules that `config` describes."""
    experts = config.mot.experts
    spatial_encoder = None
    if config.spatial_vision is not None:
        spatial_encoder = SpatialEncoder(
            config.spatial_vision,
            config.registers,
            experts["spatial"].width,
            config.dino,
        )
    return Modules(
        siglip=Siglip(config.vision, experts["reasoning"].width),
        embedder=WordEmbedder(config.vocab, experts["reasoning"].width),
        spatial_encoder=spatial_encoder,
        mot=MixtureOfTransformers(config.mot),
        value_head=ValueHead(config.value_queries, config.value_width),
    )


def expert_params(params: PyTree, experts: Iterable[str]) -> PyTree:
    """Variables of the transformer for some experts: by part, then by expert."""
    names = list(experts)
    return {"params": {p: {e: params[e][p] for e in names} for p in MOT_PARTS}}
