"""The objectives by name: how recorded chunks are valued, and what loss they give."""

import functools
from typing import NamedTuple, Protocol

import jax

from omnivla_jax.core.types import ChainScore
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.policy import Sampler
from omnivla_jax.rl import grpo, gspo, ppo


class Loss(Protocol):
    """What a policy's parameters lose on S recorded chunks, and metrics."""

    def __call__(
        self,
        new: ChainScore,
        old: ChainScore,
        advantages: jax.Array,  # float32 [S]
        weights: jax.Array,  # float32 [S]
        *,
        reference: ChainScore | None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]: ...


class Objective(NamedTuple):
    """What stage III minimises."""

    loss: Loss
    critic: ppo.PpoConfig | None = None  # None: chunks are valued within groups


def flow_gspo(config: gspo.GspoConfig) -> Objective:
    """Group advantages, one clipped ratio a chunk (paper, eq. 15-18)."""
    return Objective(functools.partial(gspo.loss, config=config))


def flow_grpo(config: grpo.GrpoConfig) -> Objective:
    """Group advantages, one clipped ratio a denoising step."""
    return Objective(functools.partial(grpo.loss, config=config))


def flow_ppo(config: ppo.PpoConfig) -> Objective:
    """A critic's advantages, one clipped ratio a chunk."""
    return Objective(functools.partial(ppo.loss, config=config), critic=config)


def lengths(config: PolicyConfig, sampler: Sampler) -> dict[str, int]:
    """What a log-ratio may be divided by: |A| = HK in the paper, and other choices.

    H counts the actions that are executed, K the steps that are drawn, D what exists.
    """
    horizon = sampler.exec_horizon or config.horizon
    steps = sampler.noisy_steps if sampler.stochastic_steps == "all" else 1
    dim = config.robot_action_dim
    entries = gspo.chunk_length(horizon=horizon, steps=steps, action_dim=dim)
    return {
        "1": 1,
        "HD": horizon * dim,
        "HK": gspo.chunk_length(horizon=horizon, steps=steps),
        "HKD": entries,
    }
