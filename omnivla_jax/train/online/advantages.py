"""Advantages of recorded chunks: within their groups, or against a critic.

Axes: N initial states, G episodes of a group, B = N G episodes, C chunks tried in a
state, T decisions of an episode.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Transition
from omnivla_jax.rl import chunk_groups, diagnostics, gae, groups, ppo, rloo
from omnivla_jax.rl.groups import GroupAdvantages

if TYPE_CHECKING:  # it holds the objective, which holds these functions
    from omnivla_jax.train.online.config import OnlineConfig

Metrics = dict[str, jax.Array]


class AdvantageBatch(NamedTuple):
    """The learning signal of every chunk, decision by decision."""

    advantage: jax.Array  # float32 [T B C]
    weight: jax.Array  # float32 [T B C]: 0 for ended episodes and zero-variance groups
    value: jax.Array | None = None  # float32 [T B]: the critic's, where there is one
    target: jax.Array | None = None  # float32 [T B]: the return that it regresses to


class Rollout(NamedTuple):
    """Finished episodes, as advantages see them."""

    returns: jax.Array  # float32 [B]: weighted reward of whole episodes
    success: jax.Array  # bool [B]
    is_running: jax.Array  # bool [B]: after the last chunk
    transitions: Transition  # rewards [T, B C], masks [T, B C, H]
    last_value: jax.Array | None  # float32 [B]: the critic's, of the last state


def group_relative(
    rollout: Rollout, online: "OnlineConfig", *, config: Any
) -> tuple[AdvantageBatch, Metrics]:
    """Returns centred and scaled within trajectory groups, chunk groups, or both.

    Args:
      rollout: finished episodes.
      online: of stage III, whose groups these are.
      config: of the objective; unused.

    Returns:
      The advantages, and metrics by name.
    """
    del config
    episodes = groups.group_advantages(
        rollout.returns,
        group_size=online.group_size,
        adv_std_min=online.adv_std_min,
    )
    return _on_chunks(episodes, rollout, online)


def leave_one_out(
    rollout: Rollout, online: "OnlineConfig", *, config: Any
) -> tuple[AdvantageBatch, Metrics]:
    """Returns against the mean of the others of their trajectory group (RLOO).

    Args:
      rollout: finished episodes.
      online: of stage III, whose groups these are.
      config: of the objective; unused.

    Returns:
      The advantages, and metrics by name.
    """
    del config
    episodes = rloo.leave_one_out(rollout.returns, group_size=online.group_size)
    return _on_chunks(episodes, rollout, online)


def critic_gae(
    rollout: Rollout, online: "OnlineConfig", *, config: ppo.PpoConfig
) -> tuple[AdvantageBatch, Metrics]:
    """Generalised advantages over the chunks, against the critic's values.

    Args:
      rollout: finished episodes, with the critic's values.
      online: of stage III.
      config: discount and lambda.

    Returns:
      The advantages and the critic's targets, and metrics by name.
    """
    transitions = rollout.transitions
    mask, values = transitions.mask[..., 0], transitions.extras.value
    assert rollout.last_value is not None, "no critic's rollout"
    still_running = rollout.is_running.astype(jnp.float32)
    ended = (mask > 0) & (jnp.concatenate([mask[1:], still_running[None]]) == 0)
    estimates = gae.estimate(
        transitions.reward,
        jnp.concatenate([values, rollout.last_value[None]]),
        mask,
        ended,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
    )
    advantage = gae.normalized(
        estimates.advantages, mask, adv_std_min=online.adv_std_min
    )
    flat = (advantage, mask, values, estimates.returns)
    return AdvantageBatch(*(leaf.reshape(-1) for leaf in flat)), {}


def _on_chunks(
    episodes: GroupAdvantages, rollout: Rollout, online: "OnlineConfig"
) -> tuple[AdvantageBatch, Metrics]:
    """Episode advantages on their chunks, mixed with those of chunk groups (eq. 16).

    Only the branch that went on, the first of every C, is part of its episode.
    """
    branches, chunk_weight = online.num_branches, online.chunk_advantage_weight
    mask = rollout.transitions.mask[..., 0]  # when the chunk began
    rates = groups.success_rates(rollout.success, group_size=online.group_size)
    is_kept = groups.success_rate_filter(rates, *online.success_rate_filter)
    chunks = chunk_groups.chunk_advantages(
        rollout.transitions.reward,
        mask,
        group_size=branches,
        adv_std_min=online.adv_std_min,
    )
    kept = groups.apply_group_filter(episodes, is_kept)
    went_on = (jnp.arange(branches) == 0).astype(jnp.float32)  # [C]
    advantages, weights = (
        (values[:, None] * went_on).reshape(-1)
        for values in (kept.advantages, kept.weights)
    )
    trajectory = jnp.broadcast_to(advantages, mask.shape)
    advantage, weight = chunk_groups.mix_advantages(
        (trajectory, mask * weights),
        (chunks.advantages, chunks.weights),
        chunk_advantage_weight=chunk_weight,
    )
    metrics: Metrics = {}
    if chunk_weight < 1:
        metrics |= diagnostics.group_metrics(episodes.zero_variance)
        metrics["filtered_fraction"] = jnp.mean((~is_kept).astype(jnp.float32))
    if chunk_weight > 0:
        in_state = mask[:, ::branches] > 0
        of_chunks = diagnostics.group_metrics(chunks.zero_variance, in_state)
        metrics |= {f"{name}_chunks": value for name, value in of_chunks.items()}
    return AdvantageBatch(advantage.reshape(-1), weight.reshape(-1)), metrics
