"""Collects expert demonstrations of a LIBERO suite as an RLDS dataset.

    python -m experiments.collect_demos --suite=libero_object --out=data/libero_object
        [--tasks=0,3] [--episodes=50] [--image_size=256] [--noise=0.05] [--resume]

`tfds.builder_from_directory(--out)` reads it, with the features of OpenVLA's
modified_libero_rlds.
"""

from pathlib import Path

from absl import flags, logging

from experiments import collecting
from experiments.reporting import errors, progress
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import tasks

_SUITE = flags.DEFINE_string("suite", "libero_goal", "A suite or a BDDL file.")
_OUT = flags.DEFINE_string("out", None, "Folder of the dataset.", required=True)
_TASKS = flags.DEFINE_list("tasks", [], "Rows of the suite; none: all.")
_EPISODES = flags.DEFINE_integer("episodes", 50, "Successes per task.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 10, "Played at once.", lower_bound=1)
_SIZE = flags.DEFINE_integer("image_size", 256, "Pixels a side.", lower_bound=8)
_NOISE = flags.DEFINE_float("noise", 0.05, "On the commands.", lower_bound=0.0)
_SEED = flags.DEFINE_integer("seed", 0, "Of layouts and noise.")
_PHYSICS = flags.DEFINE_enum("physics", "auto", ["auto", "mjx", "mujoco"], "Engine.")
_PRESET = flags.DEFINE_enum(
    "preset", "fast", ["original", "faithful", "fast"], "How finely it is integrated."
)
_RESUME = flags.DEFINE_boolean("resume", False, "Continue what was interrupted.")


def main(argv: list[str]) -> None:
    """Collect and say where it lies."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    count = len(tasks.suite(_SUITE.value).tasks)
    plan = collecting.Plan(
        suite=_SUITE.value,
        tasks=tuple(int(row) for row in _TASKS.value or range(count)),
        episodes=_EPISODES.value,
        batch_size=_BATCH.value,
        image_size=_SIZE.value,
        noise=_NOISE.value,
        seed=_SEED.value,
        physics=_PHYSICS.value,
        preset=_PRESET.value,
    )
    stored = collecting.collect(plan, Path(_OUT.value), resume=_RESUME.value)
    progress.note("Stored", f"{stored} episodes in {_OUT.value}")


if __name__ == "__main__":
    errors.run(main)
