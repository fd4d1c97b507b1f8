"""How the flow head explores: the SDE's steps, noise schedule and drift."""

from dataclasses import dataclass
from typing import Any, Mapping

from omnivla_jax.flow import drifts, schedules
from omnivla_jax.flow.schedules import Schedule
from omnivla_jax.policy.config import choose


@dataclass(frozen=True)
class FlowSampler:
    """How chains are drawn and scored.

    `exec_horizon`: only the first so many actions of a chunk are executed, so only
    they count in its likelihood; None counts all. `stochastic_steps`: "all", or "one"
    random step per chunk with ODE steps around it (pi_RL's hybrid).
    """

    steps: int
    schedule: Schedule
    drift: drifts.Drift = drifts.corrected
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
        return self.steps - (self.drift is drifts.coefficients_preserving)

    @property
    def num_scored_steps(self) -> int:
        """How many steps of a recorded chain have a density."""
        if self.stochastic_steps == "one":
            return 1
        return self.noisy_steps


def make_sampler(
    settings: Mapping[str, Any], *, exec_horizon: int | None
) -> FlowSampler:
    """From "steps", "schedule", "scale", "floor", "drift" and "stochastic_steps".

    Raises:
      ValueError: a name or a number that does not fit, with the choices.
    """
    shape = choose("sampler.schedule", settings["schedule"], schedules.NOISE_SHAPES)
    return FlowSampler(
        steps=settings["steps"],
        schedule=Schedule(shape, scale=settings["scale"], floor=settings["floor"]),
        drift=choose("sampler.drift", settings["drift"], drifts.DRIFTS),
        exec_horizon=exec_horizon,
        stochastic_steps=settings["stochastic_steps"],
    )
