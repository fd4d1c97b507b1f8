"""The suffix: the action expert's tokens through the transformer, reading the prefix.

Axes: B batch, S prefix tokens, T suffix tokens (the state's, where it has one, and H of
actions), H chunk length, E width of the action expert.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree
from omnivla_jax.models import masks
from omnivla_jax.models.mot import LayerCache
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.modules import build_modules, expert_params
from omnivla_jax.policy.prefix import PrefixCache


def run_suffix(
    params: PyTree,
    cache: PrefixCache,
    tokens: jax.Array,
    condition: jax.Array | None,
    *,
    config: PolicyConfig,
) -> jax.Array:
    """The action tokens after the last layer, [B, H, E].

    Args:
      params: of the policy; only the action expert's are read.
      cache: the encoded prefix.
      tokens: [B, T, E], the head's inputs.
      condition: [B, E] of adaptive norms; None: there are none.
      config: the policy's sizes.
    """
    valid = jnp.concatenate([cache.valid, jnp.ones(tokens.shape[:2], bool)], axis=1)
    hidden, _ = build_modules(config).mot.apply(
        expert_params(params, ["action"]),
        {"action": tokens},
        positions=masks.positions(valid)[:, -tokens.shape[1] :],
        mask=masks.hide_padding(_suffix_mask(cache, config), valid),
        past=LayerCache(cache.keys, cache.values),
        conditions={} if condition is None else {"action": condition},
    )
    return hidden["action"][:, -config.horizon :]


def _suffix_mask(cache: PrefixCache, config: PolicyConfig) -> jax.Array:
    """The suffix's rows of the block mask, bool [T, S + T]."""
    prefix, spatial = cache.valid.shape[1], config.spatial_tokens
    lengths = {"reasoning": prefix - spatial, "spatial": spatial, **config.suffix}
    mask = masks.block_mask(lengths, suffix_attention=config.suffix_attention)
    return jnp.asarray(mask[prefix:])
