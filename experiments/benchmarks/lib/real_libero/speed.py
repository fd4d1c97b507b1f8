"""Control steps per second of processor time: this simulator and the real LIBERO."""

import functools
import time
from typing import Any, Callable, Sequence

import jax
import numpy as np

from experiments.benchmarks.lib import random_rollout, timing
from experiments.benchmarks.lib.real_libero.recordings import Recorder, Starts
from experiments.real_libero import episodes
from experiments.real_libero.remote import RealLibero
from omnivla_jax.sim import env
from omnivla_jax.sim.libero.task_types import Suite
from omnivla_jax.sim.state import Scene
from omnivla_jax.world import visual_scene

TASK, SIZE = 0, 128  # row of the suite; pixels of both cameras
NUM_ENVS = 32
# Control steps that are timed, without and with cameras.
OUR_STEPS, REAL_STEPS = {False: 40, True: 5}, {False: 200, True: 20}


def measure(
    recorder: Recorder,
    suite: Suite,
    make_scene: Callable[[str, tuple[int, ...]], Scene],
    *,
    python: str,
) -> list[dict[str, Any]]:
    """Random actions on both sides, one suite, without and with cameras.

    Args:
      recorder: has the first initial state.
      suite: its first task.
      make_scene: of one task.
      python: interpreter of `make libero-env`.
    """
    starts = recorder.starts(suite.name, TASK, suite.tasks[TASK], 1)
    scene = make_scene(suite.name, (TASK,))
    rows = []
    for cameras in (False, True):
        row: dict[str, Any] = {"suite": suite.name, "cameras": cameras}
        row["here"] = our_rates(scene, cameras=cameras)
        try:
            row["there"] = their_rates(python, suite, starts, cameras=cameras)
            ratio = row["here"]["per_cpu_second"] / row["there"]["per_cpu_second"]
            row["times_as_fast"] = round(ratio, 1)
        except RuntimeError as error:  # robosuite finds no library to draw with
            row["there"] = {"failed": str(error)}
        rows.append(row)
    return rows


def our_rates(scene: Scene, *, cameras: bool) -> dict[str, float]:
    """Control steps a second of a batch."""
    start = random_rollout.initial_states(scene, NUM_ENVS)
    visuals = visual_scene.make(scene) if cameras else None
    run = functools.partial(
        random_rollout.rollout,
        scene,
        steps=OUR_STEPS[cameras],
        visuals=visuals,
        size=SIZE,
    )
    program, _ = timing.compiled(run, start, jax.random.key(0), fused=cameras)
    seconds = timing.fastest(lambda _: program(start, jax.random.key(0)), repeats=3)
    return _rates(NUM_ENVS * OUR_STEPS[cameras], *seconds)


def their_rates(
    python: str, suite: Suite, starts: Starts, *, cameras: bool
) -> dict[str, float]:
    """Control steps a second of one environment.

    Raises:
      RuntimeError: the real LIBERO cannot draw here.
    """
    actions = np.random.default_rng(0).uniform(
        -1, 1, (REAL_STEPS[cameras], env.ACTION_SIZE)
    )
    with RealLibero(python) as real:
        name = suite.tasks[TASK].name
        size = SIZE if cameras else 0
        real.open(suite.name, name, camera_size=size, seed=episodes.SEED)
        real.reset(starts.states[0])
        real.step(episodes.WAIT_ACTION)
        wall, cpu = time.perf_counter(), real.cpu_seconds()
        for action in actions:
            real.step(action)
        spent = time.perf_counter() - wall, real.cpu_seconds() - cpu
    return _rates(len(actions), *spent)


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows as they are."""
    return {"num_envs": NUM_ENVS, "suites": list(rows)}


def table(summary: dict[str, Any]) -> str:
    """Rates by suite, in Markdown."""
    lines = [
        "| steps per CPU second | cameras | here | there | times as fast |",
        "|---|---|---|---|---|",
    ]
    for row in summary["suites"]:
        there = row["there"].get("per_cpu_second", "cannot draw")
        cells = [row["suite"], "2 x 128x128" if row["cameras"] else "none"]
        cells += [row["here"]["per_cpu_second"], there, row.get("times_as_fast", "")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _rates(steps: int, wall: float, cpu: float) -> dict[str, float]:
    return {
        "per_second": round(steps / wall, 1),
        "per_cpu_second": round(steps / cpu, 1),
    }
