"""Best of N: several chunks are drawn in a state, scored, and one is executed.

The observation is encoded once. A scorer gives every candidate a score: by what the
chunk looks like to the policy (pseudo-count, value), or by what it does in clones of
the simulator's state, which no robot has: the bound of every other scorer.

Axes: B environments, N candidates, H chunk length, E executed actions, D action
dimensions.
"""

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree
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

SELECTOR = "selector"  # entry of a policy's parameters: the network of its scorer


@dataclass(frozen=True)
class SelectionConfig:
    """How many chunks are drawn in a state, and which one is executed."""

    candidates: int = 1  # N
    selector: str = "count"  # a key of SCORE_FNS
    lookahead: int = 0  # chunks that `clone` plays behind each candidate
    # What `clone` adds up, by reward term of the environment
    reward_weights: Mapping[str, float] = field(
        default_factory=lambda: {"success": 1.0}, hash=False
    )

    def __post_init__(self) -> None:
        if self.candidates < 1 or self.lookahead < 0:
            raise ValueError(
                f"candidates={self.candidates} must be at least 1 and lookahead="
                f"{self.lookahead} at least 0."
            )
        if self.selector not in SCORE_FNS:
            raise ValueError(
                f"selector={self.selector!r}; choose one of {', '.join(SCORE_FNS)}."
            )


class Situation(NamedTuple):
    """B environments in which candidates are scored."""

    env_state: Any
    instruction_id: jax.Array  # int32 [B]
    cache: PrefixCache  # of the observations
    proprio: jax.Array  # float32 [B, proprio_dim], normalised and padded
    key: jax.Array  # [B], of the noise


@dataclass(frozen=True)
class Scorer:
    """What scoring may use beside the chunks."""

    environment: Environment
    agent: Agent
    exec_horizon: int  # E
    steps: int  # of the head's ODE solver
    config: SelectionConfig


# (scorer, params, situation, chunks [B, N, H, D]) -> scores float32 [B, N]
ScoreFn: TypeAlias = Callable[[Scorer, PyTree, Situation, jax.Array], jax.Array]


def best_of(
    scorer: Scorer,
    params: PyTree,
    situation: Situation,
    draw: Callable[[jax.Array], jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """Draw N chunks and take the one with the highest score.

    The first candidate is what the policy does without a selector, and those of fewer
    candidates are the first of those of more.

    Args:
      scorer: with the selector's settings.
      params: of the policy, with a network under SELECTOR where scoring needs one.
      situation: B environments.
      draw: (keys [B]) -> chunks float32 [B, H, D].

    Returns:
      The chunks float32 [B, H, D], and which candidates they are, int32 [B].
    """
    count, key = scorer.config.candidates, situation.key
    others = [jax.vmap(jax.random.fold_in, (0, None))(key, n) for n in range(1, count)]
    chunks = jnp.stack([draw(one) for one in (key, *others)], axis=1)
    if count == 1:
        return chunks[:, 0], jnp.zeros(len(chunks), jnp.int32)
    scores = SCORE_FNS[scorer.config.selector](scorer, params, situation, chunks)
    chex.assert_shape(scores, chunks.shape[:2])
    best = jnp.argmax(scores, axis=1)
    chosen = jnp.take_along_axis(chunks, best[:, None, None, None], axis=1)[:, 0]
    return chosen, best.astype(jnp.int32)


def by_features(network_score: Callable[[PyTree, jax.Array], jax.Array]) -> ScoreFn:
    """Scores by a network on the chunks' features.

    Args:
      network_score: (network, features float32 [B, W]) -> scores float32 [B].

    Returns:
      The function; it raises ValueError where the policy has no such network.
    """

    def scores(
        scorer: Scorer, params: PyTree, situation: Situation, chunks: jax.Array
    ) -> jax.Array:
        if SELECTOR not in params:
            raise ValueError(
                f"selector={scorer.config.selector!r} scores by a network: fit "
                f"one, and give params | {{{SELECTOR!r}: network}}."
            )

        def score(chunk: jax.Array) -> jax.Array:
            features = chunk_features(
                params,
                situation.cache,
                situation.proprio,
                chunk,
                config=scorer.agent.config,
                exec_horizon=scorer.exec_horizon,
            )
            return network_score(params[SELECTOR], features)

        return jax.vmap(score, in_axes=1, out_axes=1)(chunks)

    return scores


def by_clone(
    scorer: Scorer, params: PyTree, situation: Situation, chunks: jax.Array
) -> jax.Array:
    """What each candidate and `lookahead` chunks behind it earn in a cloned state.

    Args:
      scorer: with the environment and the reward's weights.
      params: of the policy, which goes on behind the candidates.
      situation: B environments.
      chunks: float32 [B, N, H, D].

    Returns:
      The weighted reward, float32 [B, N].
    """
    batch, count = chunks.shape[:2]
    environment, agent, config = scorer.environment, scorer.agent, scorer.config
    repeated = (situation.env_state, situation.instruction_id, situation.key)
    state, instruction_id, key = groups.repeat(repeated, count)
    flat = chunks.reshape(-1, *chunks.shape[2:])
    actions = agent.to_simulator(flat, situation.proprio)[:, : scorer.exec_horizon]
    rollout = init_rollout(environment, state, config.reward_weights)
    rollout, _, _ = execute_chunk(environment, rollout, actions)

    def advance(rollout: RolloutState, behind: jax.Array) -> tuple[RolloutState, None]:
        # The same noise behind every candidate: they differ by their own chunk alone.
        noise = jax.vmap(jax.random.fold_in, (0, None))(key, count + behind)
        actions = agent.act_deterministic(
            params,
            rollout.env_state,
            noise,
            instruction_id=instruction_id,
            steps=scorer.steps,
        )
        return (
            execute_chunk(environment, rollout, actions[:, : scorer.exec_horizon])[0],
            None,
        )

    rollout, _ = jax.lax.scan(advance, rollout, jnp.arange(config.lookahead))
    terms = mean_terms(environment, rollout.sums)
    return weighted_reward(terms, config.reward_weights).reshape(batch, count)


SCORE_FNS: Mapping[str, ScoreFn] = {
    "count": by_features(coin_flips.pseudo_count),
    "value": by_features(outcome.success_probability),
    "clone": by_clone,
}
