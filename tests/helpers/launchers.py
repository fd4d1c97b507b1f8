"""Runs launchers as from a shell, through one warm `launcher_server` a test process."""

import functools
import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from absl import flags

ROOT = Path(__file__).parents[2]


@functools.cache
def _server() -> subprocess.Popen[str]:
    """Ends with this process: its standard input is closed then."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.launcher_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(
    module: str, *arguments: object, timeout: int = 840, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m MODULE ARGUMENTS` from the root returned and printed.

    Args:
      module: a launcher.
      arguments: written out by `str`.
      timeout: s until SIGALRM ends it.
      environment: variables beside this process's.
    """
    server = _server()
    assert server.stdin and server.stdout
    with tempfile.TemporaryDirectory() as folder:
        files = {name: f"{folder}/{name}" for name in ("stdout", "stderr")}
        request = {
            "module": module,
            "arguments": list(map(str, arguments)),
            "environment": environment,
            "timeout": timeout,
            **files,
        }
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = server.stdout.readline()
        assert code, "the server of launchers has ended"
        printed = {name: Path(path).read_text("utf-8") for name, path in files.items()}
    return subprocess.CompletedProcess(
        [module, *map(str, arguments)], int(code), **printed
    )


def imported(name: str) -> ModuleType:
    """A launcher as a module, for its functions, without its flags.

    One process imports several launchers, and absl knows a flag's name only once.
    """
    module = importlib.import_module(name)
    for flag in flags.FLAGS.get_flags_for_module(name):
        delattr(flags.FLAGS, flag.name)
    return module
