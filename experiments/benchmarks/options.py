"""The flags that the simulator's benchmarks share, and the scene they describe."""

import json
from typing import Any, Sequence

from absl import flags

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.scene import Scene

_PHYSICS = flags.DEFINE_enum("physics", "auto", ["auto", "mjx", "mujoco"], "Engine.")
_PRESET = flags.DEFINE_enum(
    "preset", "fast", ["original", "faithful", "fast"], "How finely it is integrated."
)


def preset() -> str:
    """The preset of the command line."""
    return _PRESET.value


def scene(suite: str, tasks: Sequence[int] | None = None) -> Scene:
    """The scene of `suite` with the engine and preset of the command line."""
    return scenes.make(suite, tasks=tasks, physics=_PHYSICS.value, preset=_PRESET.value)


def report(benchmark: str, engine: str, **found: Any) -> None:
    """Print one JSON object."""
    settings = {"benchmark": benchmark, "physics": engine, "preset": _PRESET.value}
    print(json.dumps(settings | found))
