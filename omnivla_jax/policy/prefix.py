"""The prefix: an observation through the reasoning and spatial experts, once.

Axes: B batch, S prefix tokens, L layers, K/C key/value heads and channels of the cache,
E width of an expert.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.core import precision
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Observation, PyTree
from omnivla_jax.models import masks
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.modules import build_modules, expert_params
from omnivla_jax.policy.tokenizers import registry, state_prompt


class PrefixCache(NamedTuple):
    """Keys and values of an observation, for every denoising step; batch first."""

    keys: jax.Array  # compute dtype [B, L, S, K, C]
    values: jax.Array  # compute dtype [B, L, S, K, C]
    valid: jax.Array  # bool [B, S]: False on padding words


def encode_prefix(
    params: PyTree, observation: Observation, *, config: PolicyConfig
) -> PrefixCache:
    """Images and words through reasoning and spatial experts, once per observation.

    Differentiable: stage II trains all experts through the cache.
    """
    return encode_prefix_hidden(params, observation, config=config)[1]


def encode_prefix_hidden(
    params: PyTree, observation: Observation, *, config: PolicyConfig
) -> tuple[dict[str, jax.Array], PrefixCache]:
    """The last hidden states [B, S_e, E_e] of both experts by name, and the cache."""
    streams, valid = prefix_streams(params, observation, config)
    lengths = {name: x.shape[1] for name, x in streams.items()}
    mask = masks.block_mask(lengths, suffix_attention=config.suffix_attention)
    hidden, cache = build_modules(config).mot.apply(
        expert_params(params, streams),
        streams,
        positions=masks.positions(valid),
        mask=masks.hide_padding(mask, valid),
    )
    return hidden, PrefixCache(cache.keys, cache.values, valid)


def prefix_streams(
    params: PyTree, observation: Observation, config: PolicyConfig
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Tokens [B, S_e, E_e] of the prefix experts, and which count, bool [B, S]."""
    modules = build_modules(config)
    pictures, tokens, mask = (
        observation.images,
        observation.tokens,
        observation.token_mask,
    )
    if config.image_convention != "upright":
        pictures = convert_image_convention(pictures, config.image_convention)
    if config.state_in_prompt:
        state = observation.proprio[:, : config.robot_proprio_dim]
        tokens, mask = state_prompt.append_state(
            registry.number_table(config), tokens, mask, state
        )
    images = precision.to_float32(pictures / 127.5 - 1.0)
    reasoning = params["reasoning"]
    image_tokens = modules.siglip.apply({"params": reasoning["encoder"]}, images)
    words = modules.embedder.apply({"params": reasoning["embedder"]}, tokens)
    streams = {"reasoning": jnp.concatenate([image_tokens, words], axis=1)}
    valid = [jnp.ones(image_tokens.shape[:2], bool), mask]
    if modules.spatial_encoder is not None:
        spatial = modules.spatial_encoder.apply(
            {"params": params["spatial"]["encoder"]}, images
        )
        streams["spatial"] = spatial
        valid.append(jnp.ones(spatial.shape[:2], bool))
    return streams, jnp.concatenate(valid, axis=1)
