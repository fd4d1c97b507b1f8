"""The flow head: noise carried to a chunk along a learned velocity (pi0's expert).

    sft_loss = mean ||v(interpolate(noise, chunk, tau), tau | o) - (chunk - noise)||^2

`act` follows the ODE; `explore` the SDE, whose steps have densities (paper, eq. 10-14),
and its trace is the recorded chain, or with `stochastic_steps="none"` the ODE, and its
trace is the draws of a bound.

Axes: B batch, R draws of (noise, tau), K denoising steps, H chunk length, D action
dimensions, E width of the action expert.
"""

import functools
from typing import Any, Callable, TypeVar

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Score
from omnivla_jax.flow import bound, kl, log_prob, ode, path, sde
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import suffix
from omnivla_jax.policy.heads.base import ActionHead, likelihood_mask
from omnivla_jax.policy.heads.flow_sampler import FlowSampler, make_sampler
from omnivla_jax.policy.heads.flow_velocity import (
    action_tokens,
    draw_noise,
    init,
    init_noise_boxed,
    input_tokens,
    noisy_velocity,
    velocity,
)
from omnivla_jax.policy.prefix import PrefixCache

__all__ = [
    "FLOW",
    "action_tokens",
    "attention_share",
    "draw_noise",
    "explore",
    "init",
    "init_noise_boxed",
    "noisy_velocity",
    "sample",
    "sample_chain",
    "score",
    "score_recorded",
    "sft_loss",
    "swap_batch_axis",
    "velocity",
]

Trace = TypeVar("Trace", bound=sde.Chain | bound.Draws)
# (params, cache, proprio, chunk, tau, *, config) -> float32 [B, H, D]
VelocityOf = Callable[..., jax.Array]


def attention_share(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
) -> dict[str, jax.Array]:
    """Where the actions look at the first denoising step, see `suffix.attention_share`.

    Args:
      params: of the policy.
      cache: the encoded prefix of B observations.
      proprio: float32 [B, proprio_dim], normalised and padded.
      key: of the noise; consumed.
      config: the policy's sizes.

    Returns:
      float32 [L] by block of tokens; in every layer the sum is 1.
    """
    noise = draw_noise(key, proprio, config)
    tokens, condition = input_tokens(
        params, proprio, noise, jnp.zeros(len(proprio)), config
    )
    return suffix.attention_share(params, cache, tokens, condition, config=config)


def sft_loss(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    key: jax.Array,
    *,
    config: PolicyConfig,
    draws: int,
    loss_mask: jax.Array | None = None,
) -> jax.Array:
    """Conditional flow matching with R = `draws` noises an observation, float32 [].

    The mean over all action dimensions, padding included, as openpi's: a padded policy
    learns to turn noise into zeros there. The key is consumed.
    """
    noise_key, tau_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, (draws, *chunk.shape))
    tau = path.draw_tau(tau_key, (draws, chunk.shape[0]))

    def error(noise: jax.Array, tau: jax.Array) -> jax.Array:
        mixed = path.interpolate(noise, chunk, tau)
        predicted = velocity(params, cache, proprio, mixed, tau, config=config)
        squared = jnp.square(predicted - path.target_velocity(noise, chunk))
        if loss_mask is None:
            return jnp.mean(squared)
        return jnp.mean(squared, where=loss_mask[..., None])

    return jnp.mean(jax.vmap(error)(noise, tau))


def sample(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
    velocity_of: VelocityOf = velocity,
) -> ActionChunk:
    """A chunk [B, H, D] by the ODE, deterministic given `draw_noise` of the key."""
    velocity_fn = functools.partial(velocity_of, params, cache, proprio, config=config)
    return ode.sample(velocity_fn, draw_noise(key, proprio, config), steps=steps)


def sample_chain(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: FlowSampler,
    velocity_of: VelocityOf = velocity,
) -> sde.Chain:
    """A chunk by the SDE with every intermediate state recorded; consumes `key`."""
    noise_key, step_key, walk_key = jax.random.split(key, 3)
    one = jax.random.randint(step_key, proprio.shape[:1], 0, sampler.noisy_steps)
    return sde.sample(
        walk_key,
        _flow_fn(params, cache, proprio, config, sampler, velocity_of),
        draw_noise(noise_key, proprio, config),
        steps=sampler.steps,
        schedule=sampler.schedule,
        drift=sampler.drift,
        stochastic_step=one if sampler.stochastic_steps == "one" else None,
    )


def explore(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: FlowSampler,
    velocity_of: VelocityOf = velocity,
) -> tuple[ActionChunk, sde.Chain | bound.Draws]:
    """A chunk [B, H, D], and its chain or draws [B, K, ...]; consumes `key`."""
    settings: dict[str, Any] = {
        "config": config,
        "sampler": sampler,
        "velocity_of": velocity_of,
    }
    if sampler.stochastic_steps == "none":
        return _explore_deterministic(params, cache, proprio, key, **settings)
    chain = sample_chain(params, cache, proprio, key, **settings)
    chunk = chain.states[-1]
    if sampler.stochastic_steps == "one":
        chain = sde.select_stochastic_step(chain)
    return chunk, swap_batch_axis(chain)


def score(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    trace: sde.Chain | bound.Draws,
    *,
    config: PolicyConfig,
    sampler: FlowSampler,
    executed_mask: jax.Array | None = None,
    velocity_of: VelocityOf = velocity,
) -> Score:
    """The likelihood under `params` of what `explore` recorded (paper, eq. 14).

    Over the entries of `likelihood_mask`; of draws, the bound.
    """
    chain = swap_batch_axis(trace)
    flow_fn = _flow_fn(params, cache, proprio, config, sampler, velocity_of)
    mask = likelihood_mask(config, sampler.exec_horizon, executed_mask=executed_mask)
    if isinstance(chain, bound.Draws):
        velocity_fn = functools.partial(
            velocity_of, params, cache, proprio, config=config
        )
        return bound.score(velocity_fn, chain, mask=mask)
    return log_prob.chain_log_prob(
        flow_fn, chain, schedule=sampler.schedule, drift=sampler.drift, mask=mask
    )


def score_recorded(
    trace: sde.Chain | bound.Draws,
    *,
    config: PolicyConfig,
    sampler: FlowSampler,
    executed_mask: jax.Array | None,
) -> Score:
    """The likelihood under the parameters that sampled: no velocity is computed."""
    mask = likelihood_mask(config, sampler.exec_horizon, executed_mask=executed_mask)
    chain = swap_batch_axis(trace)
    if isinstance(chain, bound.Draws):
        return bound.recorded_score(chain, mask=mask)
    return log_prob.recorded_log_prob(chain, mask=mask)


def swap_batch_axis(chain: Trace) -> Trace:
    """Exchange the first two axes of every array: [K, B, ...] and [B, K, ...]."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), chain)


def _explore_deterministic(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: FlowSampler,
    velocity_of: VelocityOf,
) -> tuple[ActionChunk, bound.Draws]:
    """A chunk by the ODE, and draws [B, J, ...] around it; consumes `key`."""
    act_key, tau_key, noise_key = jax.random.split(key, 3)
    velocity_fn = functools.partial(velocity_of, params, cache, proprio, config=config)
    noise = draw_noise(act_key, proprio, config)
    chunk = ode.sample(velocity_fn, noise, steps=sampler.steps)
    tau = path.draw_tau(tau_key, (sampler.bound_draws, len(chunk)))
    draws = bound.record(noise_key, velocity_fn, chunk, tau)
    return chunk, swap_batch_axis(draws)


def _flow_fn(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    config: PolicyConfig,
    sampler: FlowSampler,
    velocity_of: VelocityOf,
) -> sde.FlowFn:
    """The velocity of a sampler, with a deviation under a learned schedule."""
    function = noisy_velocity if sampler.schedule.learned else velocity_of
    return functools.partial(function, params, cache, proprio, config=config)


FLOW = ActionHead(
    init=init,
    sft_loss=sft_loss,
    act=sample,
    explore=explore,
    score=score,
    score_recorded=score_recorded,
    exact_kl=kl.transition_kl,
    make_sampler=make_sampler,
)
