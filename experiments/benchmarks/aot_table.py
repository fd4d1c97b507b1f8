"""Which batches fit on which TPU slices: `aot` for each program, policy and slice.

Run: `python -m experiments.benchmarks.aot_table`, or some cells:
`--cells=sft-full-*,*-v5p-8`. A cell is compiled with a small batch and with a larger
one, then with the largest power of two a device that their memory predicts to fit.
Every compilation is a process of its own; its row goes to --table as it comes, and rows
that are there are not compiled again. Prints the table in Markdown. Sizes are
observations (sft), environments (update) and scenes (spatial) of all devices together.
"""

import fnmatch
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence

from absl import app, flags

from experiments.benchmarks.lib import tpu_topology

ROOT = Path(__file__).parents[2]
_TABLE = flags.DEFINE_string(
    "table", str(ROOT / "experiments/records/accelerator/tpu.jsonl"), "File of rows."
)
_CELLS = flags.DEFINE_list("cells", ["*"], "Patterns of PROGRAM-PRESET-SLICE.")
_LIMIT = flags.DEFINE_float("limit_seconds", 3000.0, "Of one compilation.")

PROGRAMS = {"sft": "batch_size", "update": "num_envs", "spatial": "batch_size"}
POLICIES = ("tiny", "small", "full")
DEVICES = {"v5e-8": 8, "v5e-16": 16, "v5p-8": 4, "v6e-8": 8}  # of each slice
FIRST = {"tiny": 16, "small": 8, "full": 2}  # batch of a device, to begin with
GROWTH = 4  # from the first batch to the second
LARGEST = 1024  # a device
KEPT = (
    *("device", "jax", "fits", "compiler_says", "lower_seconds", "compile_seconds"),
    *("compile_cpu_seconds", "argument_megabytes", "temporary_megabytes"),
    *("device_megabytes", "operations", "operations_executed", "gigaflop"),
    *("collectives_executed", "estimated_megacycles"),
)


class Cell(NamedTuple):
    """What is compiled, for which slice."""

    program: str
    preset: str
    topology: str

    @property
    def mesh(self) -> dict[str, int]:
        """`full` is split over all devices, smaller policies are copied to each."""
        return {"fsdp": DEVICES[self.topology] if self.preset == "full" else 1}


def cells(patterns: Sequence[str]) -> Iterator[Cell]:
    """The cells that a pattern matches, the smallest policies first."""
    for preset, topology, program in itertools.product(POLICIES, DEVICES, PROGRAMS):
        cell = Cell(program, preset, topology)
        if any(fnmatch.fnmatch("-".join(cell), pattern) for pattern in patterns):
            yield cell


def next_batch(cell: Cell, rows: Sequence[dict[str, Any]]) -> int | None:
    """The batch to compile next, of all devices together; None: the cell is known.

    Args:
      cell: what is compiled.
      rows: its rows so far; rows with `failed` say nothing about memory.
    """
    devices = DEVICES[cell.topology]
    fits = {row["batch"]: row for row in rows if row.get("fits")}
    failed = [row["batch"] for row in rows if not row.get("fits")]
    smallest = 8 if cell.program == "update" else devices  # 8 episodes are a group
    if not rows:
        return max(FIRST[cell.preset] * devices, smallest)
    if not fits:
        return min(failed) // 2 if min(failed) // 2 >= smallest else None
    best = max(fits)
    if len(fits) == 1:
        wanted = best * GROWTH if not failed else min(failed) // 2
    else:
        wanted = predicted(fits, devices)
    wanted = min(wanted, LARGEST * devices, *(batch // 2 for batch in failed))
    return wanted if wanted > best else None


def predicted(fits: dict[int, dict[str, Any]], devices: int) -> int:
    """The largest batch that memory lets expect, a power of two a device."""
    small, large = sorted(fits)[-2:]
    used = {batch: fits[batch]["device_megabytes"] for batch in (small, large)}
    slope = max((used[large] - used[small]) / (large - small), 1e-9)
    kind = fits[large]["device"].partition(" x ")[2]
    room = (tpu_topology.memory_bytes(kind) or math.inf) / 1e6
    most = (large + (room - used[large]) / slope) / devices
    return devices * 2 ** math.floor(math.log2(min(max(most, 1), LARGEST)))


def compile_row(cell: Cell, batch: int, limit: float) -> dict[str, Any]:
    """Compile one batch in a process of its own; `failed` says why it did not end."""
    row = cell._asdict() | {"mesh": cell.mesh, "batch": batch}
    command = [sys.executable, "-m", "experiments.benchmarks.aot", "--offenders=0"]
    settings = row["mesh"] | {PROGRAMS[cell.program]: batch}
    settings |= {name: row[name] for name in ("program", "preset", "topology")}
    try:
        done = subprocess.run(
            [*command, *(f"--{name}={value}" for name, value in settings.items())],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return row | {"failed": f"not compiled in {limit:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["nothing"]
        return row | {"failed": lines[-1][:300]}
    report = json.loads(done.stdout.splitlines()[-1])
    return row | {name: report[name] for name in KEPT if name in report}


def complete(cell: Cell, table: Path, limit: float) -> None:
    """Compile what a cell lacks, and append the rows to `table`."""
    while (batch := next_batch(cell, load(table, cell))) is not None:
        row = compile_row(cell, batch, limit)
        with table.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), file=sys.stderr, flush=True)
        if "failed" in row:
            return


def load(table: Path, cell: Cell) -> list[dict[str, Any]]:
    """The rows of a cell; of a batch that was compiled again, the last."""
    lines = table.read_text().splitlines() if table.exists() else []
    rows = [json.loads(line) for line in lines]
    own = [row for row in rows if Cell(*(row[n] for n in Cell._fields)) == cell]
    return list({row["batch"]: row for row in own if "failed" not in row}.values())


def markdown(table: Path) -> str:
    """The largest batch that fits of every cell that has rows."""
    lines = [
        "| program, policy, slice | largest batch that fits | next | arguments, MB | "
        "temporaries, MB | compiling, CPU s | collectives |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in cells(["*"]):
        rows = load(table, cell)
        fits = [row for row in rows if row["fits"]]
        failed = min((row["batch"] for row in rows if not row["fits"]), default=None)
        if not rows:
            continue
        name = f"{cell.program} {cell.preset}, {cell.topology}"
        if not fits:
            lines.append(f"| {name} | none | {failed} does not fit | | | | |")
            continue
        best = max(fits, key=lambda row: row["batch"])
        unknown = "" if next_batch(cell, rows) is None else "not compiled"
        lines.append(
            f"| {name} | {best['batch']} | "
            f"{f'{failed} does not fit' if failed else unknown} | "
            f"{best['argument_megabytes']:,.0f} | {best['temporary_megabytes']:,.0f} | "
            f"{best['compile_cpu_seconds']:.0f} | {best['collectives_executed']} |"
        )
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Complete the cells of the command line, then print the table."""
    if argv[1:]:
        raise app.UsageError(f"Unknown argument {argv[1]!r}.")
    chosen, table = list(cells(_CELLS.value)), Path(_TABLE.value)
    if not chosen:
        raise app.UsageError(f"--cells={_CELLS.value} matches nothing.")
    if tpu_topology.IS_AVAILABLE:
        for cell in chosen:
            complete(cell, table, _LIMIT.value)
    else:
        print("Not compiled: libtpu is missing, see benchmarks.aot.", file=sys.stderr)
    print(markdown(table))


if __name__ == "__main__":
    app.run(main)
