"""Runs launchers in forks of an interpreter that has imported what they import.

    python -m tests.helpers.launcher_server

Reads one request a line, as JSON: the module, its arguments, changes of the
environment, two files for what it prints, and after how many seconds it is stopped.
Answers each with its exit code. Importing is most of a short run. JAX's backend is
never started here: its threads would not survive a fork.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys
from typing import Any

# They define no flags: the launcher itself is imported in the fork.
PRELOADED = (
    "jax.experimental.multihost_utils",
    "matplotlib.figure",
    "mujoco.batch",
    "experiments.pipeline.phases",
    "experiments.pipeline.evaluated_policy",
    "experiments.pipeline.watched_episodes",
)


def main() -> None:
    """Serve until standard input ends; in a fork, run the module instead."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # a fork neither looks at these objects nor copies their pages
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if not process:
            return run(request)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(request: dict[str, Any]) -> None:
    """Become `python -m MODULE ARGUMENTS`, with its output in files."""
    for name, stream in (("stdout", 1), ("stderr", 2)):
        with open(request[name], "wb") as file:
            os.dup2(file.fileno(), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.alarm(request["timeout"])
    os.environ.update(request["environment"])
    sys.path[:0] = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
