"""How a policy's chains are drawn, and which of their entries a likelihood counts.

Axes: B batch, H chunk length, D action dimensions.
"""

from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.flow import sde
from omnivla_jax.flow.schedules import Schedule
from omnivla_jax.policy.config import PolicyConfig


@dataclass(frozen=True)
class Sampler:
    """How chains are drawn and scored.

    `exec_horizon`: only the first so many actions of a chunk are executed, so only
    they count in its likelihood; None counts all. `stochastic_steps`: "all", or "one"
    random step per chunk with ODE steps around it (pi_RL's hybrid).
    """

    steps: int
    schedule: Schedule
    drift: sde.Drift = sde.corrected
    exec_horizon: int | None = None
    stochastic_steps: str = "all"

    def __post_init__(self) -> None:
        if self.stochastic_steps not in ("all", "one"):
            raise ValueError(
                f"stochastic_steps is {self.stochastic_steps!r}; choose 'all' or 'one'."
            )
        if self.noisy_steps < 1:
            raise ValueError(
                f"No step of a chain with steps={self.steps} has a density under this "
                "drift: `cps` needs at least 2 steps, the others 1."
            )

    @property
    def noisy_steps(self) -> int:
        """How many of the K steps can have a density: all, but for the last of `cps`.

        In the hybrid mode one of them is drawn.
        """
        return sde.noisy_steps(self.drift, self.steps)


def counted(
    config: PolicyConfig, sampler: Sampler, *, played: jax.Array | None = None
) -> jax.Array:
    """Which entries of a chunk its likelihood counts, bool [H, D], or [B, H, D].

    The actions that are executed, in the dimensions that exist. `played` bool [B, E] of
    the E that are executed: False on actions that were not after all, behind the end of
    an episode.
    """
    horizon = config.horizon
    length = sampler.exec_horizon or horizon
    executed = jnp.arange(horizon) < length
    real = jnp.arange(config.action_dim) < config.robot_action_dim
    entries = executed[:, None] & real[None, :]
    if played is None:
        return entries
    chex.assert_shape(played, (None, length))
    chex.assert_type(played, jnp.bool_)
    whole = jnp.pad(played, ((0, 0), (0, horizon - length)))
    return whole[..., None] & entries[None]
