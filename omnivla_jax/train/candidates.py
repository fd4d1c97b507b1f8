"""Best of N: several chunks are drawn in a state, judged, and one is executed.

The observation is encoded once. A judge gives every candidate a score: by what the
chunk looks like to the policy (pseudo-count, value), or by what it does in clones of
the simulator's state, which no robot has: the bound of every other judge.

Axes: B environments, N candidates, H chunk length, E executed actions, D action
dimensions.
"""

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree
from omnivla_jax.policy.heads import action_head
from omnivla_jax.policy.prefix import PrefixCache
from omnivla_jax.policy.selectors import coin_flips, outcome
from omnivla_jax.policy.selectors.features import chunk_features
from omnivla_jax.rl import groups
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.episode_stats import (
    RolloutState,
    execute_chunk,
    init_rollout,
    mean_terms,
    weighted_reward,
)

SELECTOR = "selector"  # entry of a policy's parameters: the network of its judge


@dataclass(frozen=True)
class SelectionConfig:
    """How many chunks are drawn in a state, and which one is executed."""

    candidates: int = 1  # N
    selector: str = "count"  # a key of JUDGES
    lookahead: int = 0  # chunks that `clone` plays behind each candidate
    # What `clone` adds up, by reward term of the environment
    reward_weights: Mapping[str, float] = field(
        default_factory=lambda: {"success": 1.0}
    )

    def __post_init__(self) -> None:
        if self.candidates < 1 or self.lookahead < 0:
            raise ValueError(
                f"candidates={self.candidates} must be at least 1 and lookahead="
                f"{self.lookahead} at least 0."
            )
        if self.selector not in JUDGES:
            raise ValueError(
                f"selector={self.selector!r}; choose one of {', '.join(JUDGES)}."
            )


class Situation(NamedTuple):
    """B environments in which candidates are judged."""

    env_state: Any
    instruction_id: jax.Array  # int32 [B]
    cache: PrefixCache  # of the observations
    proprio: jax.Array  # float32 [B, proprio_dim], normalised and padded
    key: jax.Array  # [B], of the noise


@dataclass(frozen=True)
class Judge:
    """What a judge may use beside the chunks."""

    environment: Environment
    agent: Agent
    exec_horizon: int  # E
    steps: int  # of the head's ODE solver
    config: SelectionConfig


# (judge, params, situation, chunks [B, N, H, D]) -> scores float32 [B, N]
JudgeFn: TypeAlias = Callable[[Judge, PyTree, Situation, jax.Array], jax.Array]


def best_of(
    judge: Judge, params: PyTree, situation: Situation
) -> tuple[jax.Array, jax.Array]:
    """Draw N chunks and take the one with the highest score.

    The first candidate is what the policy does without a selector, and those of fewer
    candidates are the first of those of more.

    Args:
      judge: with the selector's settings.
      params: of the policy, with a network under SELECTOR where the judge needs one.
      situation: B environments.

    Returns:
      The chunks float32 [B, H, D], and which candidates they are, int32 [B].
    """
    count, key = judge.config.candidates, situation.key
    others = [jax.vmap(jax.random.fold_in, (0, None))(key, n) for n in range(1, count)]
    config = judge.agent.config

    def draw(key: jax.Array) -> jax.Array:
        return action_head(config).act(
            params,
            situation.cache,
            situation.proprio,
            key,
            config=config,
            steps=judge.steps,
        )

    chunks = jnp.stack([draw(one) for one in (key, *others)], axis=1)
    if count == 1:
        return chunks[:, 0], jnp.zeros(len(chunks), jnp.int32)
    scores = JUDGES[judge.config.selector](judge, params, situation, chunks)
    chex.assert_shape(scores, chunks.shape[:2])
    best = jnp.argmax(scores, axis=1)
    chosen = jnp.take_along_axis(chunks, best[:, None, None, None], axis=1)[:, 0]
    return chosen, best.astype(jnp.int32)


def by_features(network_score: Callable[[PyTree, jax.Array], jax.Array]) -> JudgeFn:
    """A judge by a network on the chunks' features.

    Args:
      network_score: (network, features float32 [B, W]) -> scores float32 [B].

    Returns:
      The judge; it raises ValueError where the policy has no such network.
    """

    def scores(
        judge: Judge, params: PyTree, situation: Situation, chunks: jax.Array
    ) -> jax.Array:
        if SELECTOR not in params:
            raise ValueError(
                f"selector={judge.config.selector!r} judges by a network: fit one, and "
                f"give params | {{{SELECTOR!r}: network}}."
            )

        def score(chunk: jax.Array) -> jax.Array:
            features = chunk_features(
                params,
                situation.cache,
                situation.proprio,
                chunk,
                config=judge.agent.config,
                exec_horizon=judge.exec_horizon,
            )
            return network_score(params[SELECTOR], features)

        return jax.vmap(score, in_axes=1, out_axes=1)(chunks)

    return scores


def by_clone(
    judge: Judge, params: PyTree, situation: Situation, chunks: jax.Array
) -> jax.Array:
    """What each candidate and `lookahead` chunks behind it earn in a cloned state.

    Args:
      judge: with the environment and the reward's weights.
      params: of the policy, which goes on behind the candidates.
      situation: B environments.
      chunks: float32 [B, N, H, D].

    Returns:
      The weighted reward, float32 [B, N].
    """
    batch, count = chunks.shape[:2]
    environment, agent, config = judge.environment, judge.agent, judge.config
    repeated = (situation.env_state, situation.instruction_id, situation.key)
    state, told, key = groups.repeat(repeated, count)
    flat = chunks.reshape(-1, *chunks.shape[2:])
    actions = agent.to_simulator(flat, situation.proprio)[:, : judge.exec_horizon]
    rollout = init_rollout(environment, state, config.reward_weights)
    rollout, _, _ = execute_chunk(environment, rollout, actions)

    def go_on(rollout: RolloutState, behind: jax.Array) -> tuple[RolloutState, None]:
        # The same noise behind every candidate: they differ by their own chunk alone.
        noise = jax.vmap(jax.random.fold_in, (0, None))(key, count + behind)
        actions = agent.act_deterministic(
            params, rollout.env_state, noise, instruction_id=told, steps=judge.steps
        )
        return (
            execute_chunk(environment, rollout, actions[:, : judge.exec_horizon])[0],
            None,
        )

    rollout, _ = jax.lax.scan(go_on, rollout, jnp.arange(config.lookahead))
    terms = mean_terms(environment, rollout.sums)
    return weighted_reward(terms, config.reward_weights).reshape(batch, count)


JUDGES: Mapping[str, JudgeFn] = {
    "count": by_features(coin_flips.pseudo_count),
    "value": by_features(outcome.success_probability),
    "clone": by_clone,
}
