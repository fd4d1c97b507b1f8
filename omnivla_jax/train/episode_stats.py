"""What the reward terms of episodes have summed up to, and what that is worth.

    sums = tally.start(environment, env, scales)
    after, _ = environment.step(env, action)
    sums = tally.add(environment, sums, env, after, action)
    returns = tally.worth(tally.values(sums), scales)

Scales are a dict {term: scale}; a term of scale 0 is only a metric. The value of a term
is its mean over the running steps, that of an event (success) its sum.
Axes: B environments, D action dimensions.
"""

from typing import Any, Mapping, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.goals.reward import EVENTS
from omnivla_jax.train.environment import Environment, running


class RewardSums(NamedTuple):
    """Sums over the steps that an episode was running."""

    sums: dict[str, jax.Array]  # float32 [B] each
    steps: jax.Array  # float32 [B]
    action: jax.Array  # float32 [B, D]: the last one


def start(
    environment: Environment, env: Any, scales: Mapping[str, float]
) -> RewardSums:
    """Episodes of which nothing has been played; counts the terms that `scales` has."""
    batch = env.task.shape[0]
    first = jnp.tile(jnp.asarray(environment.first_action), (batch, 1))
    zeros = jnp.zeros(batch, jnp.float32)
    return RewardSums(dict.fromkeys(scales, zeros), zeros, first)


def add(
    environment: Environment,
    before: RewardSums,
    env: Any,
    after: Any,
    action: jax.Array,
) -> RewardSums:
    """One control step more.

    Args:
      environment: whose terms are computed.
      before: the sums so far.
      env, after: the states before and after the step; ended episodes add nothing.
      action: float32 [B, D], of the step.
    """
    alive = running(env).astype(jnp.float32)
    raw = environment.terms(after, action, before.action, tuple(before.sums))
    sums = {name: total + alive * raw[name] for name, total in before.sums.items()}
    return RewardSums(sums, before.steps + alive, action)


def values(tally: RewardSums) -> dict[str, jax.Array]:
    """Each term's raw value of the episode, float32 [B]: a mean, or an event's sum."""
    steps = jnp.maximum(tally.steps, 1.0)
    return {
        name: total if name in EVENTS else total / steps
        for name, total in tally.sums.items()
    }


def since(now: RewardSums, earlier: RewardSums) -> RewardSums:
    """The part of `now` that came after `earlier`, for example one chunk's."""
    sums = {name: total - earlier.sums[name] for name, total in now.sums.items()}
    return now._replace(sums=sums, steps=now.steps - earlier.steps)


def worth(values: Mapping[str, jax.Array], scales: Mapping[str, float]) -> jax.Array:
    """float32 [B]: the scaled sum of the terms, in the order of `scales`."""
    scaled = [scales[name] * values[name] for name in scales]
    return sum(scaled[1:], start=scaled[0])


def metrics(values: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The batch's mean of each raw term, under `reward_NAME`."""
    return {f"reward_{name}": jnp.mean(value) for name, value in values.items()}
