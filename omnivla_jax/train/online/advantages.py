"""Advantages of recorded chunks: within their groups, or against a critic.

Axes: N initial states, G episodes of a group, B = N G episodes, C chunks tried in a
state, T decisions of an episode; of a segment of a tree B are its nodes, T its own.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Transition
from omnivla_jax.rl import chunk_groups, diagnostics, gae, groups, ppo, rloo, trees
from omnivla_jax.rl.groups import GroupAdvantages

if TYPE_CHECKING:  # it holds the objective, which holds these functions
    from omnivla_jax.train.online.config import OnlineConfig

Metrics = dict[str, jax.Array]


class AdvantageBatch(NamedTuple):
    """The learning signal of every chunk, decision by decision, of all segments."""

    advantage: jax.Array  # float32 [T B C]
    weight: jax.Array  # float32 [T B C]: 0 for ended episodes and zero-variance groups
    value: jax.Array | None = None  # float32 [T B]: the critic's, where there is one
    target: jax.Array | None = None  # float32 [T B]: the return that it regresses to
    # int32 [T B C]: which initial state's group; None: there are none
    group: jax.Array | None = None


class Rollout(NamedTuple):
    """Finished episodes, as advantages see them."""

    returns: jax.Array  # float32 [B]: weighted reward of whole episodes
    success: jax.Array  # bool [B]
    is_running: jax.Array  # bool [B]: after the last chunk
    # Rewards [T, B C] and masks [T, B C, H], segment by segment; one without a tree
    segments: tuple[Transition, ...]
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
    rollout: Rollout, online: "OnlineConfig", *, config: ppo.CriticConfig
) -> tuple[AdvantageBatch, Metrics]:
    """Generalised advantages over the chunks, against the critic's values.

    Args:
      rollout: finished episodes, with the critic's values.
      online: of stage III.
      config: discount and lambda.

    Returns:
      The advantages and the critic's targets, and metrics by name.
    """
    (transitions,) = rollout.segments
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


def succeeded(rollout: Rollout, *, num_branches: int) -> tuple[jax.Array, ...]:
    """Which chunks are of successful episodes, in a tree of none that failed.

    Args:
      rollout: finished episodes.
      num_branches: C, of which the first is part of its episode.

    Returns:
      bool [T, B C] of each segment.
    """
    parts = []
    for transitions in rollout.segments:
        began = transitions.mask[..., 0] > 0  # [T, B C]
        count = began.shape[1] // num_branches
        rate = trees.node_means(rollout.success.astype(jnp.float32), count=count)
        went_on = jnp.arange(num_branches) == 0
        of_episode = ((rate == 1.0)[:, None] & went_on).reshape(-1)
        parts.append(began & of_episode)
    return tuple(parts)


def _on_chunks(
    episodes: GroupAdvantages, rollout: Rollout, online: "OnlineConfig"
) -> tuple[AdvantageBatch, Metrics]:
    """Episode advantages on their chunks, mixed with those of chunk groups (eq. 16).

    Only the branch that went on, the first of every C, is part of its episode.
    """
    rates = groups.success_rates(rollout.success, group_size=online.group_size)
    is_kept = groups.success_rate_filter(rates, *online.success_rate_filter)
    kept = groups.apply_group_filter(episodes, is_kept)
    parts, metrics = [], Metrics()
    for transitions in rollout.segments:
        part, of_chunks = _on_segment(kept, transitions, online)
        parts.append(part)
        metrics |= of_chunks
    if online.chunk_advantage_weight < 1:
        metrics |= diagnostics.group_metrics(episodes.zero_variance)
        metrics["filtered_fraction"] = jnp.mean((~is_kept).astype(jnp.float32))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts), metrics


def _on_segment(
    kept: GroupAdvantages, transitions: Transition, online: "OnlineConfig"
) -> tuple[AdvantageBatch, Metrics]:
    """`_on_chunks` for one segment, whose nodes average the episodes below them."""
    branches, chunk_weight = online.num_branches, online.chunk_advantage_weight
    mask = transitions.mask[..., 0]  # when the chunk began
    chunks = chunk_groups.chunk_advantages(
        transitions.reward, mask, group_size=branches, adv_std_min=online.adv_std_min
    )
    went_on = (jnp.arange(branches) == 0).astype(jnp.float32)  # [C]
    count = mask.shape[1] // branches
    advantages, weights = (
        (trees.node_means(values, count=count)[:, None] * went_on).reshape(-1)
        for values in (kept.advantages, kept.weights)
    )
    trajectory = jnp.broadcast_to(advantages, mask.shape)
    advantage, weight = chunk_groups.mix_advantages(
        (trajectory, mask * weights),
        (chunks.advantages, chunks.weights),
        chunk_advantage_weight=chunk_weight,
    )
    metrics: Metrics = {}
    if chunk_weight > 0:
        in_state = mask[:, ::branches] > 0
        of_chunks = diagnostics.group_metrics(chunks.zero_variance, in_state)
        metrics = {f"{name}_chunks": value for name, value in of_chunks.items()}
    group = jnp.repeat(jnp.arange(online.groups), mask.shape[1] // online.groups)
    group = jnp.broadcast_to(group, mask.shape).reshape(-1)
    batch = AdvantageBatch(advantage.reshape(-1), weight.reshape(-1), group=group)
    return batch, metrics
