"""The policy in the loop: observations in, simulator actions out, and the records.

Axes: B environments, C chunks tried in each, H chunk length, D action dimensions.
"""

from typing import Any, Callable, Mapping, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, Observation, PyTree
from omnivla_jax.flow import sde
from omnivla_jax.flow.sde import Chain
from omnivla_jax.policy import normalize, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.policy.policy import Sampler
from omnivla_jax.rl import groups
from omnivla_jax.sim.goals.reward import EVENTS
from omnivla_jax.train import episode_stats
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.episode_stats import RewardSums
from omnivla_jax.train.observation_store import ObservationStore

Scales: TypeAlias = Mapping[str, float]  # of reward terms, by name


class ActorOutput(NamedTuple):
    """What is needed to score chunks again under other parameters."""

    seen: PyTree  # [B, ...]: what the storage keeps of the input (`storage.py`)
    state: jax.Array  # float32 [B, state_dim], normalised and padded
    chain: Chain  # [B C, ...]: batch first, so that all leaves are cut alike; `turned`
    value: jax.Array | None = None  # float32 [B]: the critic's, where there is one
    # bool [B C, H]: which actions were executed, known once they are; None: all
    played: jax.Array | None = None


class Progress(NamedTuple):
    """Episodes on their way, and what their reward terms have summed up to."""

    env: Any
    tally: RewardSums


Act = Callable[[Progress, jax.Array], tuple[Any, ActionChunk]]


def start(environment: Environment, env: Any, scales: Scales) -> Progress:
    """Episodes of which nothing has been played yet; `scales` by reward term."""
    return Progress(env, episode_stats.start(environment, env, scales))


def make_stochastic_actor(
    params: PyTree,
    normalizer: Normalizer,
    environment: Environment,
    *,
    config: PolicyConfig,
    sampler: Sampler,
    storage: ObservationStore,
    branches: int = 1,
) -> Act:
    """Look, then `decide`; the record is a `ActorOutput`. The key is consumed."""

    def act(progress: Progress, key: jax.Array) -> tuple[ActorOutput, ActionChunk]:
        seen = look(environment, normalizer, progress.env, config=config)
        decision, chunks = decide(
            params,
            progress.env,
            seen,
            key,
            config=config,
            sampler=sampler,
            storage=storage,
            branches=branches,
        )
        return decision, commands(normalizer, chunks, config)

    return act


def decide(
    params: PyTree,
    env: Any,
    seen: Observation,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: Sampler,
    storage: ObservationStore,
    branches: int,
) -> tuple[ActorOutput, ActionChunk]:
    """Draw C = `branches` chunks in every state by the SDE; consumes `key`.

    Returns the record, and the executed part of every chunk, [B C, H, D] in the
    policy's units: neighbours share a state.
    """
    prefix = policy.encode_prefix(params, seen, config=config)
    shared, state = groups.repeat((prefix, seen.state), branches)
    chain = policy.sample_chain(
        params, shared, state, key, config=config, sampler=sampler
    )
    chunks = chain.states[-1, :, : sampler.exec_horizon]
    if sampler.stochastic_steps == "one":
        chain = sde.select_stochastic_step(chain)
    kept = storage.keep(env, seen, prefix)
    worth = None
    if policy.VALUE in params:
        worth = policy.value(params, prefix, seen.state, config=config)
    return ActorOutput(kept, seen.state, turned(chain), worth), chunks


def make_deterministic_actor(
    params: PyTree,
    normalizer: Normalizer,
    environment: Environment,
    told: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
) -> Act:
    """Act by the ODE, told the instructions of rows `told` [B]; records nothing.

    Takes a key of every environment's own, [B]; they are consumed.
    """

    def act(progress: Progress, keys: jax.Array) -> tuple[None, ActionChunk]:
        seen = look(environment, normalizer, progress.env, told, config=config)
        cache = policy.encode_prefix(params, seen, config=config)
        chunk = policy.sample(
            params, cache, seen.state, keys, config=config, steps=steps
        )
        return None, commands(normalizer, chunk, config)

    return act


def turned(chain: Chain) -> Chain:
    """Exchange the first two axes: [K, B, ...] and [B, K, ...]."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), chain)


def look(
    environment: Environment,
    normalizer: Normalizer,
    env: Any,
    told: jax.Array | None = None,
    *,
    config: PolicyConfig,
) -> Observation:
    """The observation in the policy's units; None: told what its task says."""
    seen = environment.observe(env, env.task if told is None else told)
    state = normalize.normalize(normalizer.state, seen.state)
    return seen._replace(state=normalize.pad_dims(state, config.state_dim))


def commands(
    normalizer: Normalizer, chunk: ActionChunk, config: PolicyConfig
) -> jax.Array:
    """The policy's chunk [..., D] as simulator actions, its padding taken away."""
    real = normalize.unpad_dims(chunk, config.robot_action_dim)
    return normalize.unnormalize(normalizer.action, real)


def play(
    environment: Environment, progress: Progress, chunk: ActionChunk
) -> tuple[Progress, jax.Array, dict[str, jax.Array]]:
    """Execute every action of `chunk` [B, H, D].

    Returns the progress after it, the mask float32 [B, H]: 1 on actions of an episode
    that was still running, and the reward terms of every step, float32 [H, B] each.
    """

    def control(before: Progress, action: jax.Array) -> tuple[Progress, RewardSums]:
        env, _ = environment.step(before.env, action)
        sums = episode_stats.add(environment, before.tally, before.env, env, action)
        return Progress(env, sums), episode_stats.since(sums, before.tally)

    after, passed = jax.lax.scan(control, progress, jnp.moveaxis(chunk, 1, 0))
    return after, passed.steps.T, passed.sums


def chunk_return(
    terms: Mapping[str, jax.Array], scales: Scales, *, discount: float
) -> jax.Array:
    """R = sum_h discount^h r_h (eq. 16), float32 [B], of terms [H, B] by name.

    Events count in full and levels by their mean over the chunk, as in `tally`.
    """
    horizon = len(next(iter(terms.values())))
    weights = discount ** jnp.arange(horizon, dtype=jnp.float32)
    summed = {
        name: weights @ term / (1 if name in EVENTS else horizon)
        for name, term in terms.items()
    }
    return episode_stats.worth(summed, scales)
