"""Compares this simulator with the real LIBERO, from the same recorded states.

    python -m experiments.benchmarks.real_libero --test=travel [--cache=DIR]
        [--suites=libero_goal] [--tasks=3] [--episodes=5] [--physics_preset=faithful]
        [--engine=mjx] [--libero_python=.venv-libero/bin/python]

--test=actions: the expert's actions of our simulator, from LIBERO's recorded initial
  states with the fixtures where the real reset puts them, replayed open loop in the
  real one after the ten waiting steps. Verdicts and first-success differences by suite
  and task; where verdicts differ, or steps by more than ten, the first object whose
  pose differs by 10 mm or 10 degrees, when, and what touched it there. With
  --actions=cached the recorded actions are replayed in ours instead, so that another
  physics is judged by the same recordings in minutes, without the real simulator;
  --actions=actions_fast takes those of that preset under another one.
--test=rest: rest poses after the ten waiting steps, 50 states a task (--episodes).
--test=travel: the hand's travel in free space under the same commands.
--test=policy --suites=libero_goal --tasks=1,7,8 --checkpoint=runs/quickstart (or
  --server=ws://HOST:PORT): a policy in closed loop, our renderer's pictures on both
  sides; --replan_steps, --max_steps as experiments.evaluate_real.
--test=speed: control steps per second of processor time, without and with cameras.

`make libero-env` builds the real simulator's environment. What it yields is kept in
--cache: repeated runs need only our side; only actions that have changed are replayed
anew. `replay --folder=DIR/actions_fast` reads the recorded episodes, too. Prints one
JSON object, and a table on standard error.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any, Iterator

from absl import flags, logging

from experiments.benchmarks.lib.flags import (
    chosen_engine,
    chosen_preset,
    make_scene,
    print_report,
)
from experiments.benchmarks.lib.real_libero import (
    actions,
    policy,
    rest,
    speed,
    travel,
)
from experiments.benchmarks.lib.real_libero.recordings import Recorder
from experiments.configs.flag_values import suite_rows
from experiments.real_libero.episodes import REPLAN_STEPS
from experiments.reporting import errors
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim.engines import registry
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.libero import tasks as task_tables
from omnivla_jax.sim.libero.tasks import Suite

TESTS = {
    "actions": actions,
    "rest": rest,
    "travel": travel,
    "policy": policy,
    "speed": speed,
}
EPISODES = {"actions": 5}  # initial states a task; else as many as LIBERO recorded
RECORDED = 50
EXPERT, CACHED = "expert", "cached"  # of --actions

_TEST = flags.DEFINE_enum("test", "travel", list(TESTS), "What to compare.")
_SUITES = flags.DEFINE_list("suites", list(files.BENCHMARK_SUITES), "Of LIBERO.")
_TASKS = flags.DEFINE_list("tasks", None, "Rows of each suite; else all.")
_EPISODES = flags.DEFINE_integer("episodes", None, "Initial states a task.", 1)
_CACHE = flags.DEFINE_string(
    "cache", ".cache/real_libero", "Folder of what the real simulator yields."
)
_ACTIONS = flags.DEFINE_string(
    "actions",
    EXPERT,
    "What --test=actions plays: expert, cached, or a folder of --cache.",
)
_SERVER = flags.DEFINE_string("server", None, "ws://HOST:PORT of --test=policy.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Served for --test=policy.")
_REPLAN = flags.DEFINE_integer(
    "replan_steps", REPLAN_STEPS, "Actions of a chunk that are executed.", 1
)
_MAX_STEPS = flags.DEFINE_integer(
    "max_steps", None, "Control steps of --test=policy; else the suite's limit.", 1
)
_PYTHON = flags.DEFINE_string(
    "libero_python", ".venv-libero/bin/python", "Interpreter of `make libero-env`."
)


def main(argv: list[str]) -> None:
    """Run one comparison, print JSON."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache(None)
    cache = Path(_CACHE.value).expanduser()
    engine = registry.select(chosen_engine()).name
    if not cache.exists() and not Path(_PYTHON.value).expanduser().is_file():
        skipped = f"there is neither {_PYTHON.value} (make libero-env) nor {cache}"
        print_report("real_libero", engine, test=_TEST.value, skipped=skipped)
        return
    with Recorder(cache, _PYTHON.value) as recorder, _server() as server:
        rows: list[dict[str, Any]] = []
        for name in _SUITES.value:
            rows += measure(recorder, task_tables.suite(name), server)
            print(f"{name}: {len(rows)} rows so far.", file=sys.stderr, flush=True)
    test = TESTS[_TEST.value]
    summary = test.summarise(rows)
    print(test.table(summary), file=sys.stderr)
    print_report("real_libero", engine, test=_TEST.value, **summary)


def measure(recorder: Recorder, suite: Suite, server: str) -> list[dict[str, Any]]:
    """The rows of the chosen comparison of one suite."""
    count = _EPISODES.value or EPISODES.get(_TEST.value, RECORDED)
    arguments = (recorder, suite, suite_rows(_TASKS.value, suite), make_scene)
    if _TEST.value == "travel":
        return travel.measure(recorder, suite, make_scene)
    if _TEST.value == "speed":
        return speed.measure(recorder, suite, make_scene, python=_PYTHON.value)
    if _TEST.value == "rest":
        return rest.measure(*arguments, count=count)
    if _TEST.value == "policy":
        return policy.measure(
            *arguments,
            server=server,
            count=count,
            replan_steps=_REPLAN.value,
            max_steps=_MAX_STEPS.value or suite.horizon,
        )
    own = f"actions_{chosen_preset()}"
    return actions.measure(
        *arguments,
        count=count,
        name=own if _ACTIONS.value in (EXPERT, CACHED) else _ACTIONS.value,
        cached=_ACTIONS.value != EXPERT,
    )


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """The address of the policy server, started where --checkpoint is given."""
    given = [_SERVER.value, _CHECKPOINT.value]
    if _TEST.value == "policy" and given.count(None) != 1:
        raise flags.Error("--test=policy needs one of --server and --checkpoint")
    if _TEST.value == "policy" and _CHECKPOINT.value:
        with policy.serving(_CHECKPOINT.value) as address:
            yield address
    else:
        yield _SERVER.value or ""


if __name__ == "__main__":
    errors.run(main)
