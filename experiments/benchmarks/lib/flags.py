"""The flags that the simulator's benchmarks share, and the scene they describe."""

import json
from typing import Any, Sequence

from absl import app, flags

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.scene import Scene

_PHYSICS = flags.DEFINE_enum("physics", "auto", ["auto", "mjx", "mujoco"], "Engine.")
_PRESET = flags.DEFINE_enum(
    "preset", "fast", ["original", "faithful", "fast"], "How finely it is integrated."
)


def preset() -> str:
    """The preset of the command line."""
    return _PRESET.value


def physics(against: str | None = None) -> str:
    """The engine of the command line; beside another, `auto` is the one it is not.

    Raises:
      UsageError: the two are the same.
    """
    chosen = _PHYSICS.value
    if chosen == against:
        raise app.UsageError(f"--physics and --against are both {against}.")
    if chosen == "auto" and against:
        return "mjx" if against == "mujoco" else "mujoco"
    return chosen


def scene(
    suite: str, tasks: Sequence[int] | None = None, *, engine: str | None = None
) -> Scene:
    """The scene of `suite` with the preset of the command line, and its engine."""
    chosen = engine or physics()
    return scenes.make(suite, tasks=tasks, physics=chosen, preset=_PRESET.value)


def report(benchmark: str, engine: str, **found: Any) -> None:
    """Print one JSON object."""
    settings = {"benchmark": benchmark, "physics": engine, "preset": _PRESET.value}
    print(json.dumps(settings | found))
