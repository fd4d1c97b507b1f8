"""The objectives by name: how recorded chunks are valued, and what loss they give."""

import functools
from typing import Callable, NamedTuple, TypeAlias

import jax

from omnivla_jax.core.types import ChainScore
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.policy import Sampler
from omnivla_jax.rl import gspo

# (new, old, advantages [S], weights [S]) -> (float32 scalar, metrics)
Loss: TypeAlias = Callable[
    [ChainScore, ChainScore, jax.Array, jax.Array],
    tuple[jax.Array, dict[str, jax.Array]],
]


class Objective(NamedTuple):
    """What stage III minimises."""

    loss: Loss


def flow_gspo(config: gspo.GspoConfig) -> Objective:
    """Group advantages, one clipped ratio a chunk (paper, eq. 15-18)."""
    return Objective(functools.partial(gspo.loss, config=config))


def chunk_length(config: PolicyConfig, sampler: Sampler) -> int:
    """|A| = H K: what `sampler` executes, and the steps that it draws."""
    steps = sampler.steps if sampler.stochastic_steps == "all" else 1
    return gspo.chunk_length(
        horizon=sampler.exec_horizon or config.horizon, steps=steps
    )
