"""The flags that the simulator's benchmarks share, and the scene they describe."""

import json
from typing import Any, Sequence

from absl import app, flags

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.mjcf import PRESETS
from omnivla_jax.sim.scene import Scene

_ENGINE = flags.DEFINE_enum("engine", "auto", ["auto", *ENGINES], "Physics engine.")
_PRESET = flags.DEFINE_enum(
    "physics_preset", "fast", list(PRESETS), "How finely the physics is integrated."
)


def preset() -> str:
    """The preset of the command line."""
    return _PRESET.value


def engine(against: str | None = None) -> str:
    """The engine of the command line; beside another, `auto` is the one it is not.

    Raises:
      UsageError: the two are the same.
    """
    chosen = _ENGINE.value
    if chosen == against:
        raise app.UsageError(f"--engine and --against are both {against}.")
    if chosen == "auto" and against:
        return "mjx" if against == "mujoco" else "mujoco"
    return chosen


def scene(
    suite: str, tasks: Sequence[int] | None = None, *, engine_name: str | None = None
) -> Scene:
    """The scene of `suite` with the preset of the command line, and its engine."""
    chosen = engine_name or engine()
    return scenes.make(suite, tasks=tasks, engine=chosen, preset=_PRESET.value)


def report(benchmark: str, engine_name: str, **found: Any) -> None:
    """Print one JSON object."""
    settings = {
        "benchmark": benchmark,
        "engine": engine_name,
        "physics_preset": _PRESET.value,
    }
    print(json.dumps(settings | found))
