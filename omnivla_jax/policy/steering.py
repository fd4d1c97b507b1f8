"""Deterministic chunks of the flow head along an altered velocity.

    chunk = steering.sample(params, cache, proprio, key, config=config, steps=10,
                            alter=lambda velocity: guidance.guided(velocity, ...))

Axes: B batch, H chunk length, D action dimensions.
"""

import functools
from typing import Callable, TypeAlias

import jax

from omnivla_jax.core.types import ActionChunk, PyTree
from omnivla_jax.flow import ode
from omnivla_jax.flow.ode import VelocityFn
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import flow
from omnivla_jax.policy.prefix import PrefixCache

Alter: TypeAlias = Callable[[VelocityFn], VelocityFn]


def sample(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
    alter: Alter,
) -> ActionChunk:
    """A chunk [B, H, D] from the noise that the head's `act` starts with.

    Args:
      params, cache, proprio, key, config, steps: as of `ActionHead.act`.
      alter: (the head's velocity) -> the one that is followed.

    Raises:
      ValueError: another action head, which follows no velocity.
    """
    if config.head != "flow":
        raise ValueError(
            f"head={config.head!r} follows no velocity that could be altered: guidance "
            "and composition need head='flow'."
        )
    velocity_fn = functools.partial(
        flow.velocity, params, cache, proprio, config=config
    )
    noise = flow.draw_noise(key, proprio, config)
    return ode.sample(alter(velocity_fn), noise, steps=steps)
