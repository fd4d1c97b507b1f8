"""Random compositions of known categories and predicates, played by the expert.

Run: `python -m experiments.benchmarks.compositions [--count=100] [--num_states=3]`.
Writes the task files to a temporary folder (`--folder` keeps them), loads each, plays
it from sampled initial states with the composed expert, and counts the files that load,
that run without divergence, and that are solved at least once. Prints one JSON object,
with the goals of those that are not.
"""

import tempfile
from pathlib import Path
from typing import Sequence

import numpy as np
from absl import app, flags

from experiments.benchmarks.lib import random_compositions
from experiments.benchmarks.lib.expert_episodes import run_episodes, sampled_reset
from experiments.benchmarks.lib.flags import make_scene, print_report
from omnivla_jax.sim.libero import tasks
from omnivla_jax.world import expert
from omnivla_jax.world.expert import matching

_COUNT = flags.DEFINE_integer("count", 100, "Task files.", lower_bound=1)
_STATES = flags.DEFINE_integer("num_states", 3, "Initial states each.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the files and of the initial states.")
_FOLDER = flags.DEFINE_string("folder", "", "Keeps the files; empty: a temporary one.")


def write(folder: Path, count: int, seed: int) -> dict[str, str]:
    """Write the task files; those that do not load, with the reason.

    Args:
      folder: of the files; it is made.
      count: how many.
      seed: of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    refused = {}
    for one in random_compositions.generate(count, seed):
        path = folder / f"{one.name}.bddl"
        path.write_text(one.text)
        try:
            tasks.read_task(path)
        except ValueError as error:
            refused[one.name] = str(error)
            path.unlink()
    return refused


def success_by_file(folder: Path, num_states: int, seed: int) -> dict[str, dict]:
    """The rate of success and the divergence of each file in `folder`, by its name."""
    suite = tasks.suite(folder)
    able = [
        row
        for row, task in enumerate(suite.tasks)
        if expert.find_skill(task) is not None
    ]
    scene = make_scene(str(folder), able)
    reset = sampled_reset(scene, num_states)
    result = run_episodes(scene, reset, noise=0.0, seed=seed)
    rows = {}
    for row, task in enumerate(suite.tasks):
        mine = result.task == row
        rows[task.name] = {
            "goal": matching.goal_text(task),
            "success": float(np.mean(result.success[mine])) if row in able else 0.0,
            "diverged": int(result.diverged[mine].sum()),
            "without_skill": matching.goal_without_skill(task),
        }
    return rows


def main(argv: Sequence[str]) -> None:
    """Generate, load, play and count."""
    del argv
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(_FOLDER.value or temporary)
        refused = write(folder, _COUNT.value, _SEED.value)
        rows = success_by_file(folder, _STATES.value, _SEED.value)
    solved = [
        row for row in rows.values() if row["success"] > 0 and not row["diverged"]
    ]
    print_report(
        "compositions",
        "mujoco",
        count=_COUNT.value,
        states=_STATES.value,
        seed=_SEED.value,
        target=0.9,
        loaded=len(rows),
        solved_at_least_once=len(solved) / _COUNT.value,
        refused=refused,
        unsolved={n: row for n, row in rows.items() if not row["success"]},
    )


if __name__ == "__main__":
    app.run(main)
