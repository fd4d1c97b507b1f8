"""Success rate of the scripted expert on each task, from sampled initial states.

Run: `python -m experiments.benchmarks.expert_success [--suite=libero_goal]
[--tasks=0,3]`. With `--recorded` the states are LIBERO's own, read from the installed
hf-libero. Prints one JSON object. One program runs all tasks of a suite at once.
"""

from typing import Any, Sequence

import numpy as np
from absl import app, flags

from experiments.benchmarks.lib.expert_episodes import (
    ExpertResult,
    recorded_reset,
    run_episodes,
    sampled_reset,
)
from experiments.benchmarks.lib.flags import make_scene, print_report
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world import expert

_SUITES = flags.DEFINE_list("suite", list(files.BENCHMARK_SUITES), "Which suites.")
_TASKS = flags.DEFINE_list("tasks", [], "Rows of each suite; empty: all.")
_NUM_STATES = flags.DEFINE_integer("num_states", 50, "Initial states per task.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the initial states and the noise.")
_NOISE = flags.DEFINE_float("noise", 0.0, "Standard deviation of noise on the arm.")
_RECORDED = flags.DEFINE_bool("recorded", False, "Start from LIBERO's own states.")
GOOD, FAIR = 0.9, 0.5  # success rates


def measure(scene: Scene) -> list[dict[str, Any]]:
    """One row of the report for every task that `scene` holds."""
    expert.require_skills(scene, scene.task_ids)
    make_reset = recorded_reset if _RECORDED.value else sampled_reset
    reset = make_reset(scene, _NUM_STATES.value)
    result = run_episodes(scene, reset, noise=_NOISE.value, seed=_SEED.value)
    rows = []
    for task in scene.task_ids:
        of_task = ExpertResult(*(leaf[result.task == task] for leaf in result))
        steps = of_task.steps[of_task.success]
        rows.append(
            {
                "task": f"{scene.name}/{task}",
                "success": round(float(of_task.success.mean()), 3),
                "steps": round(float(steps.mean()), 1) if len(steps) else None,
                "contact_overflow": int(of_task.overflow.sum()),
                "placement_failures": int(of_task.unplaced.sum()),
                "diverged": int(of_task.diverged.sum()),
            }
        )
    return rows


def main(argv: Sequence[str]) -> None:
    """Run every task; print success, mean steps and the number of good tasks."""
    del argv
    chosen = [int(task) for task in _TASKS.value] or None
    rows = []
    for suite in _SUITES.value:
        scene = make_scene(suite, chosen)
        rows += measure(scene)
    rates = np.array([row["success"] for row in rows])
    print_report(
        "expert_success",
        scene.engine,
        states=_NUM_STATES.value,
        recorded=_RECORDED.value,
        noise=_NOISE.value,
        seed=_SEED.value,
        good=int((rates >= GOOD).sum()),
        fair=int((rates >= FAIR).sum()),
        tasks=rows,
    )


if __name__ == "__main__":
    app.run(main)
