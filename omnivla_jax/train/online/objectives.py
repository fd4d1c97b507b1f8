"""Objectives by name: how rollouts become advantages, and the loss on their chunks.

A new one is an entry in `OBJECTIVES`: a config dataclass, a function from a rollout to
advantages, and a loss.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Callable, Mapping, NamedTuple

import jax

from omnivla_jax.core.types import Score
from omnivla_jax.policy.config import PolicyConfig, choose
from omnivla_jax.policy.heads.base import Sampler
from omnivla_jax.rl import dpo, dppo, grpo, gspo, nft, ppo, rloo
from omnivla_jax.train.online import advantages
from omnivla_jax.train.online.advantages import AdvantageBatch

Metrics = dict[str, jax.Array]


# (rollout, online config) -> advantages, metrics
AdvantageFn = Callable[..., tuple[AdvantageBatch, Metrics]]
# (new, old, batch, *, values, exact_kl, reference) -> the loss on S chunks, metrics.
# `new` and `old` are scores under the parameters that are trained and that sampled,
# `batch` their advantages [S], `values` the critic's [S] or None, `exact_kl` the action
# head's divergence, `reference` scores under the policy that it is taken from (None:
# `old`).
LossFn = Callable[..., tuple[jax.Array, Metrics]]


@dataclass(frozen=True)
class Objective:
    """What stage III minimises."""

    name: str
    config: Any  # the objective's own dataclass
    advantages: AdvantageFn
    loss: LossFn
    has_critic: bool = False


class ObjectiveSpec(NamedTuple):
    """How an objective is made from its settings; both functions take a `config`."""

    config: type  # a frozen dataclass with a `ratio_normalizer`
    advantages: AdvantageFn
    loss: LossFn
    ratio_normalizer: str  # as published: a key of `ratio_normalizers`
    has_critic: bool = False


def group_loss(
    new: Score,
    old: Score,
    batch: AdvantageBatch,
    *,
    values: None,
    loss: Callable[..., tuple[jax.Array, Metrics]] = gspo.loss,
    **named: Any,
) -> tuple[jax.Array, Metrics]:
    """A loss on scores and advantages alone, without a critic.

    Args:
      new, old, batch, values: as of `LossFn`; `values` is None.
      loss: of scores, advantages and weights.
      **named: for the loss, see `gspo.loss`.

    Returns:
      The loss, float32 [], and metrics by name.
    """
    del values
    return loss(new, old, batch.advantage, batch.weight, **named)


def ppo_loss(
    new: Score,
    old: Score,
    batch: AdvantageBatch,
    *,
    values: jax.Array,
    config: ppo.CriticConfig,
    loss: Callable[..., tuple[jax.Array, Metrics]] = gspo.loss,
    **named: Any,
) -> tuple[jax.Array, Metrics]:
    """A loss on scores and advantages, and the critic's regression (see `ppo`).

    Args:
      new, old, batch, values: as of `LossFn`; `values` are float32 [S].
      config: of the objective.
      loss: of scores, advantages and weights.
      **named: for the loss, see `gspo.loss`.

    Returns:
      The sum of both losses, float32 [], and metrics by name.
    """
    policy_loss, metrics = loss(
        new, old, batch.advantage, batch.weight, config=config, **named
    )
    assert batch.value is not None and batch.target is not None, "no critic's batch"
    value_loss, value_metrics = ppo.value_loss(
        values, batch.value, batch.target, batch.weight, config=config
    )
    return policy_loss + value_loss, metrics | value_metrics


def pair_loss(
    new: Score,
    old: Score,
    batch: AdvantageBatch,
    *,
    values: None,
    **named: Any,
) -> tuple[jax.Array, Metrics]:
    """A loss on pairs of chunks of the same group (see `dpo`).

    Args:
      new, old, batch, values: as of `LossFn`; `values` is None.
      **named: for the loss, see `dpo.loss`.

    Returns:
      The loss, float32 [], and metrics by name.
    """
    del values
    assert batch.group is not None, "no groups"
    return dpo.loss(new, old, batch.advantage, batch.weight, batch.group, **named)


OBJECTIVES: Mapping[str, ObjectiveSpec] = {
    "gspo": ObjectiveSpec(gspo.GspoConfig, advantages.group_relative, group_loss, "HK"),
    "grpo": ObjectiveSpec(
        grpo.GrpoConfig,
        advantages.group_relative,
        functools.partial(group_loss, loss=grpo.loss),
        "1",
    ),
    "nft": ObjectiveSpec(
        nft.NftConfig,
        advantages.group_relative,
        functools.partial(group_loss, loss=nft.loss),
        "HKD",
    ),
    "rloo": ObjectiveSpec(rloo.RlooConfig, advantages.leave_one_out, group_loss, "1"),
    "ppo": ObjectiveSpec(
        ppo.PpoConfig, advantages.critic_gae, ppo_loss, "1", has_critic=True
    ),
    "dppo": ObjectiveSpec(
        dppo.DppoConfig,
        advantages.critic_gae,
        functools.partial(ppo_loss, loss=dppo.loss),
        "HD",
        has_critic=True,
    ),
    "dpo": ObjectiveSpec(dpo.DpoConfig, advantages.group_relative, pair_loss, "1"),
}


def make(name: str, **settings: Any) -> Objective:
    """The objective called `name`, with the fields of its config as `settings`.

    Raises:
      ValueError: an unknown objective, a setting that it does not have, or a bad value.
    """
    spec = choose("objective", name, OBJECTIVES)
    known = [field.name for field in dataclasses.fields(spec.config)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(
            f"The objective {name!r} has no settings {', '.join(unknown)}: it has "
            f"{', '.join(known)}."
        )
    config = spec.config(**settings)
    return Objective(
        name=name,
        config=config,
        advantages=functools.partial(spec.advantages, config=config),
        loss=functools.partial(spec.loss, config=config),
        has_critic=spec.has_critic,
    )


def ratio_normalizers(config: PolicyConfig, sampler: Sampler) -> dict[str, int]:
    """Lengths that a log-ratio may be divided by, by name; the paper has |A| = HK.

    H counts the actions that are executed, K the steps that are drawn, D the dimensions
    that exist. A token is one dimension of one action: H D of them are |A|.
    """
    horizon = sampler.exec_horizon or config.horizon
    steps, dim = sampler.num_scored_steps, config.robot_action_dim
    numbers = horizon * dim
    if steps is None:
        return {"1": 1, "HD": numbers, "HK": numbers, "HKD": numbers}
    return {"1": 1, "HD": numbers, "HK": horizon * steps, "HKD": numbers * steps}
