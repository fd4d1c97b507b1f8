"""The policy: an observation's prefix once, then chunks, likelihoods and values.

    cache = policy.encode_prefix(params, observation, config=config)
    chunk = policy.sample(params, cache, proprio, key, config=config, steps=10)

What depends on the action head goes through `heads.action_head(config)`; the flow
head's functions are repeated here, because most callers want them.

Axes: B batch, H chunk length, D action dimensions.
"""

import chex
import jax

from omnivla_jax.core.types import PyTree
from omnivla_jax.models.mot import LayerCache
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads.flow import (
    noisy_velocity,
    sample,
    sample_chain,
    velocity,
)
from omnivla_jax.policy.heads.flow_sampler import FlowSampler
from omnivla_jax.policy.modules import build_modules
from omnivla_jax.policy.parameters import (
    VALUE,
    init,
    init_noise,
    init_sharded,
    init_value,
    shardings,
    value_shardings,
)
from omnivla_jax.policy.prefix import PrefixCache, encode_prefix

__all__ = [
    "FlowSampler",
    "PrefixCache",
    "VALUE",
    "encode_prefix",
    "init",
    "init_noise",
    "init_sharded",
    "init_value",
    "noisy_velocity",
    "sample",
    "sample_chain",
    "shardings",
    "value",
    "value_shardings",
    "velocity",
]


def value(
    params: PyTree, cache: PrefixCache, proprio: jax.Array, *, config: PolicyConfig
) -> jax.Array:
    """The critic's estimate of the return, float32 [B]; reads params["value"] only.

    No gradient reaches the cache: the critic's loss, large while returns are unknown,
    must not bend what the policy sees.

    Args:
      params: with a critic.
      cache: the encoded prefix of B observations.
      proprio: float32 [B, proprio_dim], normalised and padded.
      config: the policy's sizes.

    Raises:
      ValueError: the parameters have no critic.
    """
    if VALUE not in params:
        raise ValueError(
            f"The parameters {sorted(params)} have no critic: add one, "
            f"params | {{{VALUE!r}: policy.init_value(key, config)}}."
        )
    chex.assert_shape(proprio, (None, config.proprio_dim))
    keys, values, valid = jax.lax.stop_gradient(cache)
    head = build_modules(config).value_head
    return head.apply(
        {"params": params[VALUE]}, LayerCache(keys, values), valid, proprio
    )
