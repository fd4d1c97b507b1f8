"""Evaluates a policy server in the real LIBERO: success by task, as JSON and a table.

    python -m experiments.serve --checkpoint=runs/quickstart &
    python -m experiments.evaluate_real --suite=libero_goal --server=ws://127.0.0.1:8000
        [--tasks=7,9] [--episodes=50] [--pictures=libero|ours] [--replan_steps=5]
        [--max_steps=300] [--workers=2] [--libero_python=.venv-libero/bin/python]
        [--out=DIR]

The protocol is openpi's: recorded initial states, ten steps of waiting, five actions of
each chunk, the suite's time limit. `make libero-env` builds the environment of the
unmodified simulator, which downloads its assets when it first runs. --pictures=ours
sends our renderer's pictures of the real simulator's state: what is then lost against
an evaluation here is lost to physics, the rest to pictures. Any server that speaks
openpi's protocol can be evaluated. Standard output is one JSON object in one line;
--out gets it, the table, and a line for each episode as soon as it ends.
"""

import json
import os
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
from absl import flags, logging

from experiments.configs.flag_values import API_KEY_VARIABLE, suite_rows
from experiments.real_libero import episodes
from experiments.real_libero.policy_client import PolicyClient
from experiments.real_libero.remote import RealLibero
from experiments.reporting import errors, evaluation_files, progress
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import files as libero_files
from omnivla_jax.sim.libero import state_files
from omnivla_jax.sim.libero import tasks as task_tables
from omnivla_jax.sim.libero.tasks import Suite
from omnivla_jax.train import evaluate

LIBERO_SIZE, SENT_SIZE = 256, 224  # pixels: rendered and sent, as openpi's client

_SUITE = flags.DEFINE_enum(
    "suite", None, libero_files.BENCHMARK_SUITES, "Of LIBERO.", required=True
)
_SERVER = flags.DEFINE_string("server", None, "ws://HOST:PORT.", required=True)
_TASKS = flags.DEFINE_list("tasks", None, "Rows of the suite; else all.")
_EPISODES = flags.DEFINE_integer("episodes", 50, "Of each task.", 1)
_PICTURES = flags.DEFINE_enum(
    "pictures", "libero", ["libero", "ours"], "Whose renderer the policy sees."
)
_REPLAN = flags.DEFINE_integer(
    "replan_steps", episodes.REPLAN_STEPS, "Actions of a chunk that are executed.", 1
)
_MAX_STEPS = flags.DEFINE_integer(
    "max_steps", None, "Control steps of an episode; else the suite's limit.", 1
)
_WORKERS = flags.DEFINE_integer("workers", 2, "Processes of the real LIBERO.", 1)
_PYTHON = flags.DEFINE_string(
    "libero_python", ".venv-libero/bin/python", "Interpreter of `make libero-env`."
)
_OUT = flags.DEFINE_string("out", None, "Folder for evaluation.json, .md, episodes.")


class Verdict(NamedTuple):
    """The outcome of one episode."""

    task: int
    number: int  # of the recorded initial state
    success: bool
    steps: int


def main(argv: list[str]) -> None:
    """Run the episodes, print JSON."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    out = None if _OUT.value is None else Path(_OUT.value).expanduser()
    if out is not None and (out / evaluation_files.JSON).exists():
        raise flags.Error(f"--out={out} holds an evaluation: choose another folder")
    compilation.enable_cache(None)
    suite = task_tables.suite(_SUITE.value)
    tasks = suite_rows(_TASKS.value, suite)
    with PolicyClient(
        _SERVER.value, api_key=os.environ.get(API_KEY_VARIABLE)
    ) as client:
        metadata = client.metadata
    verdicts = run(suite, tasks, metadata, out)
    summary = summarise(verdicts, suite, metadata)
    if out is not None:
        evaluation_files.write(out, summary)
    print(evaluation_files.success_table(summary), file=sys.stderr)
    print(json.dumps(summary))


def run(
    suite: Suite, tasks: tuple[int, ...], metadata: dict[str, Any], out: Path | None
) -> list[Verdict]:
    """Share the tasks out to processes of the real LIBERO.

    Args:
      suite: the task table.
      tasks: its rows.
      metadata: of the policy server.
      out: gets a line of episodes.jsonl for each episode.

    Returns:
      The verdicts in the order of tasks and initial states.

    Raises:
      OSError: LIBERO or the policy server fails; the other processes are ended.
      ValueError: there are too few initial states, or another policy answers.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    verdicts: list[Verdict] = []
    running: list[RealLibero] = []
    lock, failed = threading.Lock(), threading.Event()
    total = len(tasks) * _EPISODES.value

    def finish(verdict: Verdict) -> None:
        line = json.dumps(verdict._asdict())
        with lock:
            verdicts.append(verdict)
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                with open(out / "episodes.jsonl", "a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
            bar.advance(success=sum(v.success for v in verdicts) / len(verdicts))

    def work() -> None:
        with RealLibero(_PYTHON.value) as real:
            running.append(real)
            while not failed.is_set():
                try:
                    task = waiting.get_nowait()
                except queue.Empty:
                    return
                run_task(real, suite, task, metadata, finish)

    def stop() -> None:
        failed.set()
        for real in running:
            real.kill()

    with progress.phase(
        "Real LIBERO", total=total, unit="episode", stream=sys.stderr
    ) as bar:
        run_in_threads(work, min(_WORKERS.value, len(tasks)), stop)
    return sorted(verdicts)


def run_in_threads(
    work: Callable[[], None], count: int, stop: Callable[[], None]
) -> None:
    """Run `work` in `count` threads; the first error calls `stop` and is raised."""
    pool = ThreadPoolExecutor(count)
    try:
        for future in as_completed([pool.submit(work) for _ in range(count)]):
            future.result()
    except BaseException:  # an interruption, too: the others are not waited for
        stop()
        raise
    finally:
        pool.shutdown(wait=False)


def run_task(
    real: RealLibero,
    suite: Suite,
    task: int,
    metadata: dict[str, Any],
    finish: Any,
) -> None:
    """Run the episodes of one task over a connection of its own."""
    row, ours = suite.tasks[task], _PICTURES.value == "ours"
    path = real.open(
        _SUITE.value,
        row.name,
        camera_size=0 if ours else LIBERO_SIZE,
        seed=episodes.SEED,
        every_step=False,  # a policy looks once a chunk, and rendering takes longest
    )
    states = state_files.read(path)
    if len(states) < _EPISODES.value:
        raise ValueError(
            f"--episodes={_EPISODES.value}, but {path} holds {len(states)} states."
        )
    if ours:
        scene = scenes.make(_SUITE.value, engine="mujoco", tasks=(task,))
        size = metadata.get("image_size", SENT_SIZE)
        pictures = episodes.make_renderer(scene, task, size=size)
    else:
        pictures = episodes.make_client_pictures(real.render, SENT_SIZE)
    with PolicyClient(
        _SERVER.value, api_key=os.environ.get(API_KEY_VARIABLE)
    ) as client:
        for number, state in enumerate(states[: _EPISODES.value]):
            result = episodes.run_episode(
                real,
                state,
                row.instruction,
                client.infer,
                pictures,
                max_steps=_MAX_STEPS.value or suite.horizon,
                replan_steps=_REPLAN.value,
            )
            finish(Verdict(task, number, result.success, result.steps))


def summarise(
    verdicts: list[Verdict], suite: Suite, metadata: dict[str, Any]
) -> dict[str, Any]:
    """What is printed: success by task with its interval, and every verdict."""
    names = [task.instruction for task in suite.tasks]
    success = np.array([verdict.success for verdict in verdicts])
    rows = np.array([verdict.task for verdict in verdicts])
    return evaluate.summarise(success, rows, names) | {
        "episodes": len(verdicts),
        "diverged": 0,
        "suite": _SUITE.value,
        "simulator": "LIBERO",
        "pictures": _PICTURES.value,
        "replan_steps": _REPLAN.value,
        "max_steps": _MAX_STEPS.value or suite.horizon,
        "server": {k: v for k, v in metadata.items() if k != "instructions"},
        "verdicts": success.astype(int).tolist(),
        "steps": [verdict.steps for verdict in verdicts],
    }


if __name__ == "__main__":
    errors.run(main)
