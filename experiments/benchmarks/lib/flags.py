"""The flags that the simulator's benchmarks share, and the scene they describe."""

import json
from typing import Any, Sequence

from absl import app, flags

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets.integrator_presets import PRESETS
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.scene import Scene

_ENGINE = flags.DEFINE_enum("engine", "auto", ["auto", *ENGINES], "Physics engine.")
_PRESET = flags.DEFINE_enum(
    "physics_preset", "fast", list(PRESETS), "How finely the physics is integrated."
)


def chosen_engine(against: str | None = None) -> str:
    """The engine of the command line; `auto` is the one that `against` is not.

    Raises:
      UsageError: both are the same.
    """
    chosen = _ENGINE.value
    if chosen == against:
        raise app.UsageError(f"--engine and --against are both {against}.")
    if chosen == "auto" and against:
        return "mjx" if against == "mujoco" else "mujoco"
    return chosen


def chosen_preset() -> str:
    """The integrator preset of the command line."""
    return str(_PRESET.value)


def make_scene(
    suite: str, tasks: Sequence[int] | None = None, *, engine: str | None = None
) -> Scene:
    """The scene of `suite` with the preset and the engine of the command line.

    Args:
      suite: name of a suite.
      tasks: rows of the suite; None: all.
      engine: replaces that of the command line.
    """
    engine = engine or chosen_engine()
    return scenes.make(suite, tasks=tasks, engine=engine, preset=_PRESET.value)


def print_report(benchmark: str, engine: str, **results: Any) -> None:
    """Print one JSON object."""
    flag_values = {"engine": engine, "physics_preset": _PRESET.value}
    print(json.dumps({"benchmark": benchmark, **flag_values, **results}))
