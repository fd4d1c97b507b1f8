"""How the flow head explores: the ODE, or the SDE's steps, noise schedule and drift."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Mapping

import jax

from omnivla_jax.flow import drifts, schedules
from omnivla_jax.flow.schedules import Schedule
from omnivla_jax.policy.config import choose


@dataclass(frozen=True)
class FlowSampler:
    """How chains are drawn and scored.

    `exec_horizon`: only the first so many actions of a chunk are executed, so only
    they count in its likelihood; None counts all. `stochastic_steps`: "all", "one"
    random step per chunk with ODE steps around it (pi_RL's hybrid), or "none": the
    chunk's own noise explores, and a bound of `bound_draws` draws stands for the
    likelihood (`flow.bound`, FPO).
    """

    steps: int
    schedule: Schedule
    drift: drifts.Drift = drifts.corrected
    exec_horizon: int | None = None
    stochastic_steps: str = "all"
    bound_draws: int = 4  # J

    def __post_init__(self) -> None:
        if self.stochastic_steps not in ("all", "one", "none"):
            raise ValueError(
                f"stochastic_steps is {self.stochastic_steps!r}; choose 'all', 'one' "
                "or 'none'."
            )
        if self.bound_draws < 1:
            raise ValueError(f"bound_draws={self.bound_draws} must be at least 1.")
        if self.stochastic_steps == "none" and self.schedule.learned:
            raise ValueError(
                "stochastic_steps='none' follows the ODE, which has no noise that a "
                "schedule could learn: choose another sampler.schedule."
            )
        if self.noisy_steps < 1:
            raise ValueError(
                f"No step of a chain with steps={self.steps} has a density under this "
                "drift: `cps` needs at least 2 steps, the others 1."
            )

    def scaled(self, factor: jax.Array) -> "FlowSampler":
        """The sampler with `factor` times the noise, float32 [] in (0, 1].

        A noise head's deviations and the draws of a bound stay as they are.
        """
        if self.schedule.learned:
            return self
        return dataclasses.replace(self, schedule=self.schedule.scaled(factor))

    @property
    def noisy_steps(self) -> int:
        """How many of the K steps can have a density: all, but for the last of `cps`.

        In the hybrid mode one of them is drawn.
        """
        return self.steps - (self.drift is drifts.coefficients_preserving)

    @property
    def num_scored_steps(self) -> int:
        """How many steps of a recorded chain, or draws of a bound, have a density."""
        scored = {"all": self.noisy_steps, "one": 1, "none": self.bound_draws}
        return scored[self.stochastic_steps]


def make_sampler(
    settings: Mapping[str, Any], *, exec_horizon: int | None
) -> FlowSampler:
    """From the settings by name: those of `FlowSampler`, with its schedule's.

    "schedule" is a name, "scale" and "floor" are its numbers, and "drift" is a name.

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
        bound_draws=settings["bound_draws"],
    )
