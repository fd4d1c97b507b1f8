"""What more cores gain: the renderer and the simulator on one core up to all of them.

Run: `python -m experiments.benchmarks.cores --cores=1,2 [-- --suite=libero_10]`; no
cores given: powers of two, and all. Runs `benchmarks.renderer` and `.simulator` with
the arguments after `--`, in processes that may use so many cores, and prints one
JSON object with their rates and each rate over that of the first.
"""

import json
import os
import subprocess
import sys
from typing import Any, Sequence

from absl import app, flags

_CORES = flags.DEFINE_list("cores", [], "Numbers of cores; none: 1, 2, 4 and so on.")
RATES = {
    "renderer": "frames_per_second",
    "simulator": "control_steps_per_second",
}


def numbers_of_cores(available: int) -> list[int]:
    """Powers of two up to `available`, and `available` itself."""
    doubled = [1 << power for power in range(available.bit_length())]
    return sorted({*doubled, available})


def measure(
    benchmark: str, cores: Sequence[int], arguments: Sequence[str]
) -> dict[str, Any]:
    """Run a benchmark in a process on `cores`, ids of the operating system's.

    Args:
      benchmark: a key of `RATES`.
      cores: what the process may use.
      arguments: of the benchmark.

    Returns:
      The JSON object that it printed.
    """
    command = [sys.executable, "-m", f"experiments.benchmarks.{benchmark}"]
    done = subprocess.run(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return json.loads(done.stdout.splitlines()[-1])


def gains(rates: dict[int, float]) -> dict[str, float]:
    """Each rate over that on the fewest cores, by number of cores."""
    return {str(n): round(rate / rates[min(rates)], 2) for n, rate in rates.items()}


def main(argv: Sequence[str]) -> None:
    """Measure both benchmarks on every number of cores."""
    arguments = list(argv[1:])
    own = sorted(os.sched_getaffinity(0))
    counts = [int(count) for count in _CORES.value] or numbers_of_cores(len(own))
    if not all(1 <= count <= len(own) for count in counts):
        raise app.UsageError(f"--cores={counts}: this process may use {len(own)}.")
    report: dict[str, Any] = {"benchmark": "cores", "arguments": arguments}
    for benchmark, rate in RATES.items():
        rates = {n: measure(benchmark, own[:n], arguments)[rate] for n in counts}
        report[benchmark] = {rate: {str(n): rates[n] for n in counts}}
        report[benchmark]["gain"] = gains(rates)
    load = round(os.getloadavg()[0], 1)
    print(json.dumps(report | {"load": load}))


if __name__ == "__main__":
    app.run(main)
