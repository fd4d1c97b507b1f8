"""What recorded chunks are worth: against their groups, or against a critic.

Axes: N initial states, G episodes of a group, B = N G episodes, C chunks tried in a
state, T decisions of an episode.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Transition
from omnivla_jax.rl import chunk_groups, diagnostics, gae, groups, ppo
from omnivla_jax.rl.groups import GroupAdvantages
from omnivla_jax.train import actor, episode_stats
from omnivla_jax.train.environment import running
from omnivla_jax.train.online.config import OnlineConfig

Metrics = dict[str, jax.Array]


class AdvantageBatch(NamedTuple):
    """Of every chunk, decision by decision."""

    advantage: jax.Array  # float32 [T B C]
    weight: jax.Array  # float32 [T B C]: 0 where an episode or its groups say nothing
    value: jax.Array | None = None  # float32 [T B]: the critic's, where there is one
    target: jax.Array | None = None  # float32 [T B]: what it should have said


def group_relative(
    progress: actor.Progress, record: Transition, config: OnlineConfig
) -> tuple[AdvantageBatch, Metrics]:
    """Advantages within trajectory groups, chunk groups, or both (eq. 16).

    `record`'s rewards are [T, B C], its masks [T, B C, H]. Only the branch that went
    on, the first of every C, is part of its episode.
    """
    ran = record.mask[..., 0]  # when the chunk began
    returns = episode_stats.worth(episode_stats.values(progress.tally), config.rewards)
    whole = groups.group_advantages(
        returns, group_size=config.group_size, std_floor=config.std_floor
    )
    rates = groups.success_rates(progress.env.success, group_size=config.group_size)
    kept = groups.keep_between(rates, *config.keep_between)
    part = chunk_groups.chunk_advantages(
        record.reward,
        ran,
        group_size=config.branches,
        std_floor=config.std_floor,
    )
    advantage, weight = chunk_groups.mix_advantages(
        _spread(groups.keep(whole, kept), ran, config),
        (part.advantages, part.weights),
        share=config.chunk_share,
    )
    metrics: Metrics = {}
    if config.chunk_share < 1:
        metrics |= diagnostics.group_metrics(whole.zero_variance)
        metrics |= diagnostics.filter_metrics(kept)
    if config.chunk_share > 0:
        in_state = ran[:, :: config.branches] > 0
        chunks = diagnostics.group_metrics(part.zero_variance, in_state)
        metrics |= {f"{name}_chunks": value for name, value in chunks.items()}
    return AdvantageBatch(advantage.reshape(-1), weight.reshape(-1)), metrics


def critic_gae(
    progress: actor.Progress,
    record: Transition,
    last_value: jax.Array,
    config: OnlineConfig,
    critic: ppo.PpoConfig,
) -> tuple[AdvantageBatch, Metrics]:
    """Generalised advantages over the chunks; `last_value` [B] is of the last state."""
    mask, values = record.mask[..., 0], record.observation.value
    after = running(progress.env).astype(jnp.float32)
    ended = (mask > 0) & (jnp.concatenate([mask[1:], after[None]]) == 0)
    found = gae.estimate(
        record.reward,
        jnp.concatenate([values, last_value[None]]),
        mask,
        ended,
        gamma=critic.gamma,
        gae_lambda=critic.gae_lambda,
    )
    advantage = gae.normalized(found.advantages, mask, std_floor=config.std_floor)
    flat = (advantage, mask, values, found.returns)
    return AdvantageBatch(*(leaf.reshape(-1) for leaf in flat)), {}


def _spread(
    episodes: GroupAdvantages, mask: jax.Array, config: OnlineConfig
) -> tuple[jax.Array, jax.Array]:
    """Advantages and weights [B] of episodes on their running chunks, [T, B C]."""
    went_on = (jnp.arange(config.branches) == 0).astype(jnp.float32)  # [C]

    def over(values: jax.Array) -> jax.Array:
        return (values[:, None] * went_on).reshape(-1)

    advantages = jnp.broadcast_to(over(episodes.advantages), mask.shape)
    return advantages, mask * over(episodes.weights)
