"""Episodes on their way: the simulator's state and the sums of its reward terms.

    rollout = init_rollout(environment, env_state, reward_weights)
    rollout, mask, terms = execute_chunk(environment, rollout, actions)
    returns = weighted_reward(mean_terms(environment, rollout.sums), reward_weights)

Reward weights are a dict {term: weight}; a term of weight 0 is only a metric. The value
of a term is its mean over the running steps, that of a sparse term (success) its sum.
Axes: B environments, H executed actions of a chunk, D action dimensions.
"""

from typing import Any, Mapping, NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.train.environment import Environment, is_running


class RewardSums(NamedTuple):
    """Sums over the steps that an episode was running."""

    terms: dict[str, jax.Array]  # float32 [B] each
    steps: jax.Array  # float32 [B]
    action: jax.Array  # float32 [B, D]: the last one


class RolloutState(NamedTuple):
    """Episodes and their sums so far."""

    env_state: Any
    sums: RewardSums


def init_rollout(
    environment: Environment, env_state: Any, reward_weights: Mapping[str, float]
) -> RolloutState:
    """Episodes that have not begun.

    Args:
      environment: of the episodes.
      env_state: B initial states.
      reward_weights: whose terms are summed.

    Returns:
      The states, with sums of 0.
    """
    batch = env_state.task.shape[0]
    first_action = jnp.tile(jnp.asarray(environment.first_action), (batch, 1))
    zeros = jnp.zeros(batch, jnp.float32)
    sums = RewardSums(dict.fromkeys(reward_weights, zeros), zeros, first_action)
    return RolloutState(env_state, sums)


def step(
    environment: Environment, rollout: RolloutState, action: jax.Array
) -> RolloutState:
    """Execute one action; ended episodes add nothing to their sums.

    Args:
      environment: of the episodes.
      rollout: B episodes.
      action: float32 [B, D].

    Returns:
      The episodes after the control step.
    """
    env_state, sums = rollout
    # Episodes that an action can still change.
    alive = is_running(env_state).astype(jnp.float32)
    next_state, _ = environment.step(env_state, action)
    terms = environment.reward_terms(next_state, action, sums.action, tuple(sums.terms))
    totals = {name: total + alive * terms[name] for name, total in sums.terms.items()}
    return RolloutState(next_state, RewardSums(totals, sums.steps + alive, action))


def execute_chunk(
    environment: Environment, rollout: RolloutState, actions: jax.Array
) -> tuple[RolloutState, jax.Array, dict[str, jax.Array]]:
    """Execute every action of `actions` float32 [B, H, D].

    Args:
      environment: of the episodes.
      rollout: B episodes.
      actions: float32 [B, H, D].

    Returns:
      The state after them; the mask float32 [B, H], 1 on actions of an episode that was
      running; and the reward terms of every step, float32 [H, B] each.
    """
    chex.assert_rank(actions, 3)

    def control_step(
        rollout: RolloutState, action: jax.Array
    ) -> tuple[RolloutState, RewardSums]:
        new_rollout = step(environment, rollout, action)
        return new_rollout, difference(new_rollout.sums, rollout.sums)

    rollout, steps = jax.lax.scan(control_step, rollout, jnp.moveaxis(actions, 1, 0))
    return rollout, steps.steps.T, steps.terms


def difference(now: RewardSums, earlier: RewardSums) -> RewardSums:
    """The part of `now` that came after `earlier`, for example one chunk's."""
    terms = {name: total - earlier.terms[name] for name, total in now.terms.items()}
    return now._replace(terms=terms, steps=now.steps - earlier.steps)


def mean_terms(environment: Environment, sums: RewardSums) -> dict[str, jax.Array]:
    """Each term's value of the episode: a mean, or a sparse term's sum.

    Args:
      environment: says which terms are sparse.
      sums: of B episodes.

    Returns:
      {name: float32 [B]}.
    """
    steps = jnp.maximum(sums.steps, 1.0)
    return {
        name: total if name in environment.sparse_terms else total / steps
        for name, total in sums.terms.items()
    }


def weighted_reward(
    terms: Mapping[str, jax.Array], reward_weights: Mapping[str, float]
) -> jax.Array:
    """The weighted sum of terms, in the order of the weights.

    Args:
      terms: {name: float32 [B]}.
      reward_weights: of at least one term.

    Returns:
      float32 [B].
    """
    weighted = [weight * terms[name] for name, weight in reward_weights.items()]
    return sum(weighted[1:], start=weighted[0])


def chunk_return(
    environment: Environment,
    terms: Mapping[str, jax.Array],
    reward_weights: Mapping[str, float],
    *,
    discount: float,
) -> jax.Array:
    """R = sum_h discount^h r_h (eq. 16).

    Sparse terms count in full and dense ones by their mean over the chunk, as in
    `mean_terms`.

    Args:
      environment: says which terms are sparse.
      terms: {name: float32 [H, B]} of a chunk's steps.
      reward_weights: of the terms.
      discount: in [0, 1].

    Returns:
      float32 [B].
    """
    horizon = len(next(iter(terms.values())))
    discounts = discount ** jnp.arange(horizon, dtype=jnp.float32)
    sparse = environment.sparse_terms
    summed = {
        name: discounts @ term / (1 if name in sparse else horizon)
        for name, term in terms.items()
    }
    return weighted_reward(summed, reward_weights)
