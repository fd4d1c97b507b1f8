"""Runs a module on eight virtual devices, apart from this process or in two of them.

The number of devices is fixed when JAX starts, and the other tests want one.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

HELPERS = Path(__file__).parent


def run(*arguments: object) -> None:
    """`python -m ARGUMENTS` from the root; fails with its output if it fails."""
    flags = os.environ.get("XLA_FLAGS", "")
    flags += " --xla_force_host_platform_device_count=8"
    outcome = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=HELPERS.parents[1],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def run_two_processes(module: str, *arguments: object) -> None:
    """`python -m MODULE ARGUMENTS ADDRESS PROCESS` twice, with four devices each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    shared = os.environ.get("XLA_FLAGS", "")
    flags = f"{shared} --xla_force_host_platform_device_count=4"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments), address, str(process)],
            cwd=HELPERS.parents[1],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(2)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
