"""Runs a module on eight virtual devices, apart from this process.

The number of devices is fixed when JAX starts, and the other tests want one.
"""

import os
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
