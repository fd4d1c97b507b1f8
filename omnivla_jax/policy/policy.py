"""The policy: models and flow joined into pure functions over one parameter tree.

    params = init(key, config)                      {"reasoning", "spatial", "action"}
    cache = encode_prefix(params, observation)      once per observation
    chunk = sample(params, cache, state, key)       K velocities over the same cache

States and chunks are in normalised units (`normalize.py`) throughout.
Axes: B batch, H chunk length, D action dimensions, S prefix tokens, L layers,
K/C key/value heads and channels of the cache; K denoising steps of a chain.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, ChainScore, PyTree
from omnivla_jax.flow import log_prob, ode, sde
from omnivla_jax.models import masks
from omnivla_jax.models.mot import LayerCache
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.parameters import (
    VALUE,
    apply,
    init,
    init_noise,
    init_sharded,
    init_value,
    modules,
    mot_variables,
    shardings,
    value_shardings,
)
from omnivla_jax.policy.prefix import PrefixCache, encode_prefix
from omnivla_jax.policy.sampler import Sampler, counted

__all__ = [
    "PrefixCache",
    "Sampler",
    "chain_entropy",
    "chain_log_prob",
    "counted",
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


def velocity(
    params: PyTree,
    cache: PrefixCache,
    state: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    *,
    config: PolicyConfig,
) -> jax.Array:
    """v(chunk, tau | observation) float32 [B, H, D]; reads params["action"] only.

    state [B, state_dim], chunk [B, H, D], tau [B] in [0, 1], 1 at the data. For many
    (noise, tau) per observation map over them with `jax.vmap`, cache unmapped: the
    prefix is then shared, not copied.
    """
    acting = _act(params, cache, state, chunk, tau, config)
    return apply(modules(config).action_output, params["action"]["output"], acting)


def noisy_velocity(
    params: PyTree,
    cache: PrefixCache,
    state: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    *,
    config: PolicyConfig,
) -> sde.NoisyVelocity:
    """`velocity`, and what the noise head says, float32 [B, H, D] each."""
    parts, action = modules(config), params["action"]
    if "noise" not in action:
        raise ValueError(
            "The schedule `learned` needs a noise head, but the action expert has "
            f"{sorted(action)}: set noise_head in PolicyConfig, and for parameters "
            "trained without it add policy.init_noise(key, config) as 'noise'."
        )
    acting = _act(params, cache, state, chunk, tau, config)
    return sde.NoisyVelocity(
        apply(parts.action_output, action["output"], acting),
        apply(parts.noise_head, action["noise"], acting),
    )


def value(
    params: PyTree, cache: PrefixCache, state: jax.Array, *, config: PolicyConfig
) -> jax.Array:
    """The critic's estimate of what follows, float32 [B]; reads params["value"] only.

    No gradient reaches the cache: the critic's loss, large while returns are unknown,
    must not bend what the policy sees. `state` [B, state_dim].
    """
    if VALUE not in params:
        raise ValueError(
            f"The parameters {sorted(params)} have no critic: add one, "
            f"params | {{{VALUE!r}: policy.init_value(key, config)}}."
        )
    chex.assert_shape(state, (None, config.state_dim))
    keys, values, valid = jax.lax.stop_gradient(cache)
    seen = LayerCache(keys, values)
    return apply(modules(config).value_head, params[VALUE], seen, valid, state)


def sample(
    params: PyTree,
    cache: PrefixCache,
    state: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
) -> ActionChunk:
    """A chunk [B, H, D] by the ODE, deterministic given its noise; consumes `key`.

    `key`: a typed key for the batch, or a row's own for every row, [B]: its noise is
    then the same in every batch.
    """
    velocity_fn = functools.partial(velocity, params, cache, state, config=config)
    return ode.sample(velocity_fn, _noise(key, state, config), steps=steps)


def sample_chain(
    params: PyTree,
    cache: PrefixCache,
    state: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: Sampler,
) -> sde.Chain:
    """A chunk by the SDE with every intermediate state recorded; consumes `key`."""
    noise_key, step_key, walk_key = jax.random.split(key, 3)
    one = jax.random.randint(step_key, state.shape[:1], 0, sampler.noisy_steps)
    return sde.sample(
        walk_key,
        _flow_fn(params, cache, state, config, sampler),
        _noise(noise_key, state, config),
        steps=sampler.steps,
        schedule=sampler.schedule,
        drift=sampler.drift,
        stochastic_step=one if sampler.stochastic_steps == "one" else None,
    )


def chain_log_prob(
    params: PyTree,
    cache: PrefixCache,
    state: jax.Array,
    chain: sde.Chain,
    *,
    config: PolicyConfig,
    sampler: Sampler,
    played: jax.Array | None = None,
) -> ChainScore:
    """The likelihood of a recorded chain under `params` (paper, eq. 14).

    Over the entries that are `counted`; `played` bool [B, H] as there. A hybrid chain
    scores K times cheaper when cut by `sde.select_stochastic_step` first.
    """
    return log_prob.chain_log_prob(
        _flow_fn(params, cache, state, config, sampler),
        chain,
        schedule=sampler.schedule,
        drift=sampler.drift,
        mask=counted(config, sampler, played=played),
    )


def chain_entropy(
    chain: sde.Chain,
    score: ChainScore,
    *,
    config: PolicyConfig,
    sampler: Sampler,
    played: jax.Array | None = None,
) -> jax.Array:
    """The entropy float32 [B] of a chain's transitions, as `score` scored it.

    In nats, over the same entries as its likelihood. Constant but for a learned
    schedule, whose parameters it trains.
    """
    mask = counted(config, sampler, played=played)
    return log_prob.chain_entropy(chain, stds=score.stds, mask=mask)


def _flow_fn(
    params: PyTree,
    cache: PrefixCache,
    state: jax.Array,
    config: PolicyConfig,
    sampler: Sampler,
) -> sde.FlowFn:
    """What a sampler asks for a velocity, and under a learned schedule for noise."""
    asked = noisy_velocity if sampler.schedule.learned else velocity
    return functools.partial(asked, params, cache, state, config=config)


def _act(
    params: PyTree,
    cache: PrefixCache,
    state: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    config: PolicyConfig,
) -> jax.Array:
    """The action tokens after the last layer, [B, H, E]."""
    chex.assert_shape(chunk, (*tau.shape, config.horizon, config.action_dim))
    chex.assert_shape(state, (*tau.shape, config.state_dim))
    parts, action = modules(config), params["action"]
    tokens, time = apply(parts.action_input, action["input"], state, chunk, tau)
    own = jnp.ones(tokens.shape[:2], bool)
    valid = jnp.concatenate([cache.valid, own], axis=1)
    hidden, _ = parts.mot.apply(
        mot_variables(params, ["action"]),
        {"action": tokens},
        positions=masks.positions(valid)[:, -own.shape[1] :],
        mask=masks.hide_padding(_suffix_mask(cache, config), valid),
        past=LayerCache(cache.keys, cache.values),
        conditions={} if time is None else {"action": time},
    )
    return hidden["action"][:, -config.horizon :]


def _noise(key: jax.Array, state: jax.Array, config: PolicyConfig) -> jax.Array:
    shape = (config.horizon, config.action_dim)
    if key.ndim:
        chex.assert_shape(key, state.shape[:1])
        return jax.vmap(lambda own: jax.random.normal(own, shape))(key)
    return jax.random.normal(key, (len(state), *shape))


def _suffix_mask(cache: PrefixCache, config: PolicyConfig) -> jax.Array:
    """The suffix's rows of the block mask, bool [T, S + T] for its T tokens."""
    prefix, spatial = cache.valid.shape[1], config.spatial_tokens
    lengths = {"reasoning": prefix - spatial, "spatial": spatial, **config.suffix}
    mask = masks.block_mask(lengths, suffix_attention=config.suffix_attention)
    return jnp.asarray(mask[prefix:])
