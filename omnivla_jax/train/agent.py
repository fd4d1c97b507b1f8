"""The policy in the loop: observations in, simulator actions out, and the records.

Axes: B environments, H chunk length, D action dimensions.
"""

from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, ChainScore, Observation, PyTree
from omnivla_jax.flow import sde
from omnivla_jax.flow.sde import Chain
from omnivla_jax.policy import normalize, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.policy.policy import PrefixCache, Sampler
from omnivla_jax.train.environment import Environment, running


class Decision(NamedTuple):
    """What is needed to score a chunk again under other parameters."""

    seen: PrefixCache | Observation  # the observation only where its experts train
    state: jax.Array  # float32 [B, 8], normalised
    chain: Chain  # with B leading, so that all leaves are cut alike; see `turned`


class Progress(NamedTuple):
    """Episodes on their way, and what their dense reward has summed up to."""

    env: Any
    alignment: jax.Array  # float32 [B], summed over the control steps so far
    steps: jax.Array  # float32 [B], control steps that the episode was running


Act = Callable[[Progress, jax.Array], tuple[Any, ActionChunk]]


def start(env: Any) -> Progress:
    """Episodes of which nothing has been played yet."""
    zeros = jnp.zeros(env.task.shape, jnp.float32)
    return Progress(env, zeros, zeros)


def explorer(
    params: PyTree,
    normalizer: Normalizer,
    environment: Environment,
    *,
    config: PolicyConfig,
    sampler: Sampler,
    keep_observation: bool,
) -> Act:
    """Act by the SDE; the record is a `Decision`. The key is consumed.

    Of each chunk only the executed part is returned.
    """
    executed = sampler.exec_horizon or config.horizon

    def act(progress: Progress, key: jax.Array) -> tuple[Decision, ActionChunk]:
        seen = look(environment, normalizer, progress.env, progress.env.task)
        cache = policy.encode_prefix(params, seen, config=config)
        chain = policy.sample_chain(
            params, cache, seen.state, key, config=config, sampler=sampler
        )
        actions = normalize.unnormalize(normalizer.action, chain.states[-1])
        if sampler.stochastic_steps == "one":
            chain = sde.stochastic_only(chain)
        kept = seen if keep_observation else cache
        return Decision(kept, seen.state, turned(chain)), actions[:, :executed]

    return act


def exploiter(
    params: PyTree,
    normalizer: Normalizer,
    environment: Environment,
    told: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
) -> Act:
    """Act by the ODE, told the instructions of rows `told` [B]; records nothing."""

    def act(progress: Progress, key: jax.Array) -> tuple[None, ActionChunk]:
        seen = look(environment, normalizer, progress.env, told)
        cache = policy.encode_prefix(params, seen, config=config)
        chunk = policy.sample(
            params, cache, seen.state, key, config=config, steps=steps
        )
        return None, normalize.unnormalize(normalizer.action, chunk)

    return act


def score(
    params: PyTree, decision: Decision, *, config: PolicyConfig, sampler: Sampler
) -> ChainScore:
    """The likelihood of recorded chunks under `params`; encodes only what it must."""
    cache = decision.seen
    if isinstance(cache, Observation):
        cache = policy.encode_prefix(params, cache, config=config)
    return policy.chain_log_prob(
        params,
        cache,
        decision.state,
        turned(decision.chain),
        config=config,
        sampler=sampler,
    )


def turned(chain: Chain) -> Chain:
    """Exchange the first two axes: [K, B, ...] and [B, K, ...]."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), chain)


def look(
    environment: Environment, normalizer: Normalizer, env: Any, told: jax.Array
) -> Observation:
    """The observation in the policy's units."""
    seen = environment.observe(env, told)
    return seen._replace(state=normalize.normalize(normalizer.state, seen.state))


def play(
    environment: Environment, progress: Progress, chunk: ActionChunk
) -> tuple[Progress, jax.Array, jax.Array]:
    """Execute every action of `chunk` [B, H, D].

    Returns the progress after it, the summed reward float32 [B], and float32 [B]: 1
    where the episode was running when the chunk began.
    """
    mask = running(progress.env).astype(jnp.float32)

    def control(
        progress: Progress, action: jax.Array
    ) -> tuple[Progress, jax.Array]:
        alive = running(progress.env).astype(jnp.float32)
        env, timestep = environment.step(progress.env, action)
        aligned = progress.alignment + alive * environment.alignment(env)
        return Progress(env, aligned, progress.steps + alive), timestep.reward

    after, rewards = jax.lax.scan(control, progress, jnp.moveaxis(chunk, 1, 0))
    return after, jnp.sum(rewards, axis=0), mask
