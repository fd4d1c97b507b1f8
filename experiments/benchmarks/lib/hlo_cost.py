"""What a compiled program executes, each loop's body as often as the loop runs.

The compiler's own analysis counts a body once, so that work put into a loop would look
like work saved. Of a conditional the branch that moves most bytes counts. A fusion is
one operation: it reads its operands, of those that it slices the slices, and writes its
results, of those that it updates in place the update.
"""

import math
from typing import Any, Iterable, NamedTuple

from experiments.benchmarks.lib import hlo_text
from experiments.benchmarks.lib.hlo_text import Array, Computation, Instruction, Program

# Neither run nor move anything.
FREE = {
    *("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all"),
    *("opt-barrier", "partition-id", "replica-id", "add-dependency", "domain"),
}
CONTROL = {"while", "conditional", "call"}
COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all"),
    *("collective-permute", "collective-broadcast", "ragged-all-to-all"),
)
_SLICES = {"dynamic-slice", "slice", "gather"}
_UPDATES = {"dynamic-update-slice": 1, "scatter": 2}  # which operand holds the update
_NO_FLOPS = {
    *("copy", "reshape", "transpose", "broadcast", "concatenate", "pad", "reverse"),
    *("slice", "dynamic-slice", "dynamic-update-slice", "gather", "iota", "convert"),
    *("bitcast-convert", "custom-call", "scatter", "rng-bit-generator", "fusion"),
}


class Executed(NamedTuple):
    """One operation of a program, with what it costs each time."""

    instruction: Instruction
    loop: str  # the loop whose body it is in, "" outside
    times: int  # that a run of the program executes it
    accessed: float  # bytes read and written
    main_memory: float  # those that are not on the chip
    written: float
    padded: float  # written, with the padding of the tiles
    flops: float
    cycles: int  # by the compiler's model, see `Instruction.estimated_cycles`


class Loop(NamedTuple):
    """A loop of a program."""

    name: str
    source: str
    trips: int | None  # None: the text does not tell; counted once
    times: int  # that its body runs, loops around it included


def executed(program: Program) -> tuple[list[Executed], list[Loop]]:
    """All operations that a run executes, and the loops that they are in."""
    return _visit(program, program.computations[program.entry], "", 1)


def report(program: Program, *, offenders: int = 12) -> dict[str, Any]:
    """Totals, a row for each loop and the operations that write most.

    Args:
      program: as `hlo_text.parse` returns it.
      offenders: how many of the operations to list.

    Returns:
      Values for JSON; megabytes are 10^6 bytes, those of one device.
    """
    rows, loops = executed(program)
    inside = [Loop("", "", 1, 1), *loops]
    by_loop = []
    for loop in inside:
        own = [row for row in rows if row.loop == loop.name]
        by_loop.append(
            {
                "loop": loop.name or "outside",
                "source": loop.source,
                "trips": loop.trips,
                "times": loop.times,
                "operations": len(own),
                "collectives": sum(_is_collective(row) for row in own),
                **_totals(own),
            }
        )
    worst = sorted(rows, key=lambda row: -row.times * row.padded)[:offenders]
    return {
        "operations": len(rows),
        "operations_executed": sum(row.times for row in rows),
        "collectives_executed": sum(r.times for r in rows if _is_collective(r)),
        **_totals(rows),
        "unknown_trip_counts": sum(loop.trips is None for loop in loops),
        "loops": [row for row in by_loop if row["operations"]],
        "collectives": _collectives(rows),
        "largest": [_offender(row) for row in worst],
    }


def _visit(
    program: Program, computation: Computation, loop: str, times: int
) -> tuple[list[Executed], list[Loop]]:
    """Operations and loops of a computation that runs `times` times."""
    rows: list[Executed] = []
    loops: list[Loop] = []
    for one in computation.instructions.values():
        called = one.called
        parts = []
        if one.opcode == "while":
            trips = hlo_text.trip_count(one, program, computation)
            inner = times * (1 if trips is None else trips)
            loops.append(Loop(one.name, one.source, trips, inner))
            body = program.computations[called["body"]]
            parts.append(_visit(program, body, one.name, inner))
        elif one.opcode == "conditional":
            branches = [
                _visit(program, program.computations[name], loop, times)
                for role, name in called.items()
                if role.isdigit()
            ]
            parts.append(
                max(branches, key=lambda p: sum(r.times * r.accessed for r in p[0]))
            )
        elif one.opcode == "call":
            target = program.computations[called["to_apply"]]
            parts.append(_visit(program, target, loop, times))
        elif one.opcode not in FREE and not one.opcode.endswith("-done"):
            rows.append(_cost(program, computation, one, loop, times))
        for inner_rows, inner_loops in parts:
            rows += inner_rows
            loops += inner_loops
    return rows, loops


def _cost(
    program: Program,
    computation: Computation,
    one: Instruction,
    loop: str,
    times: int,
) -> Executed:
    """The bytes and FLOPs of one operation."""
    name = one.called.get("calls")
    fused = program.computations[name] if name else None
    reads = [
        part
        for index, operand in enumerate(one.operands)
        for part in _read(computation, one, index, operand, fused)
    ]
    writes = _written(computation, one, fused)
    moved = reads + writes
    return Executed(
        instruction=one,
        loop=loop,
        times=times,
        accessed=sum(array.raw_bytes for array in moved),
        main_memory=sum(array.raw_bytes for array in moved if not array.space),
        written=sum(array.raw_bytes for array in writes),
        padded=sum(array.padded_bytes for array in writes),
        flops=_fused_flops(program, fused) if fused else _flops(computation, one),
        cycles=one.estimated_cycles,
    )


def _read(
    computation: Computation,
    one: Instruction,
    index: int,
    operand: str,
    fused: Computation | None,
) -> Iterable[Array]:
    """What an operation reads of one of its operands."""
    if operand not in computation.instructions:
        return []
    whole = computation.instructions[operand].results
    if fused is None:
        if one.opcode in _SLICES and index == 0:
            return _moved_to(one.results, whole)
        return [] if one.opcode in _UPDATES and index == 0 else whole
    parts: list[Array] = []
    for user, position in _users(fused, _parameter(fused, index)):
        if user.opcode in _SLICES and position == 0:
            parts += _moved_to(user.results, whole)
        elif not (user.opcode in _UPDATES and position == 0):
            return whole
    return parts


def _moved_to(slices: Iterable[Array], whole: Iterable[Array]) -> list[Array]:
    """The slices, in the memory that the whole lies in."""
    space = max((array.space for array in whole), default=0)
    return [array._replace(space=space) for array in slices]


def _parameter(fused: Computation, index: int) -> str:
    for one in fused.instructions.values():
        if one.opcode == "parameter" and one.arguments == str(index):
            return one.name
    return ""


def _users(fused: Computation, name: str) -> list[tuple[Instruction, int]]:
    """The instructions that read `name`, past bitcasts, and as which operand.

    A fusion inside a fusion whose result shares its operand's memory passes it on.
    """
    users = []
    for one in fused.instructions.values():
        for position, operand in enumerate(one.operands):
            if operand == name:
                shared = "output_to_operand_aliasing" in one.attributes
                passed = (one.opcode == "bitcast" or shared) and not one.is_root
                users += _users(fused, one.name) if passed else [(one, position)]
    return users


def _written(
    computation: Computation, one: Instruction, fused: Computation | None
) -> list[Array]:
    """What an operation writes."""
    if one.opcode.endswith("-start"):  # (operands, result, context)
        arrays = [array for array in one.results if array.dims]
        return arrays[:1] if one.opcode == "copy-start" else arrays[-1:]
    if fused is None:
        return _in_place(computation, one, list(one.results))
    root = fused.root
    if root.opcode != "tuple":
        return _in_place(fused, root, list(one.results))
    written: list[Array] = []
    for name, array in zip(root.operands, one.results):
        written += _in_place(fused, fused.instructions[name], [array])
    return written


def _in_place(
    computation: Computation, one: Instruction, results: list[Array]
) -> list[Array]:
    """`results`, or the update where `one` changes an array in place."""
    while one.opcode == "bitcast" and one.operands[0] in computation.instructions:
        one = computation.instructions[one.operands[0]]
    if one.opcode not in _UPDATES:
        return results
    update = computation.instructions[one.operands[_UPDATES[one.opcode]]]
    return [array._replace(space=results[0].space) for array in update.results]


def _fused_flops(program: Program, fused: Computation) -> float:
    total = 0.0
    for one in fused.instructions.values():
        name = one.called.get("calls")
        inner = program.computations[name] if name else None
        total += _fused_flops(program, inner) if inner else _flops(fused, one)
    return total


def _flops(computation: Computation, one: Instruction) -> float:
    """Of products two for each number multiplied, of other arithmetic one a result."""
    if one.opcode in FREE or one.opcode in _NO_FLOPS or one.opcode.endswith("-start"):
        return 0.0
    count = one.results[0].size if one.results else 0
    operands = [
        computation.instructions[name].results[0]
        for name in one.operands
        if name in computation.instructions and computation.instructions[name].results
    ]
    if one.opcode in ("reduce", "reduce-window", "sort"):
        return float(operands[0].size) if operands else 0.0
    if one.opcode == "dot" and len(operands) == 2:
        axes = one.attributes.partition("lhs_contracting_dims={")[2].partition("}")[0]
        return 2.0 * count * _product(operands[0], axes)
    if one.opcode == "convolution" and len(operands) == 2:
        labels = one.attributes.partition("dim_labels=")[2].partition("->")[0]
        kernel = labels.partition("_")[2]
        axes = ",".join(str(i) for i, label in enumerate(kernel) if label != "o")
        return 2.0 * count * _product(operands[1], axes)
    return float(count)


def _product(array: Array, axes: str) -> int:
    return math.prod(array.dims[int(axis)] for axis in axes.split(",") if axis)


def _totals(rows: Iterable[Executed]) -> dict[str, float]:
    """Sums over all executions."""
    rows = list(rows)

    def total(name: str, unit: float) -> float:
        return round(sum(row.times * getattr(row, name) for row in rows) / unit, 3)

    return {
        "accessed_megabytes": total("accessed", 1e6),
        "main_memory_megabytes": total("main_memory", 1e6),
        "written_megabytes": total("written", 1e6),
        "padded_megabytes": total("padded", 1e6),
        "gigaflop": total("flops", 1e9),
        "estimated_megacycles": total("cycles", 1e6),
    }


def _is_collective(row: Executed) -> bool:
    return row.instruction.opcode.removesuffix("-start") in COLLECTIVES


def _collectives(rows: Iterable[Executed]) -> list[dict[str, Any]]:
    """What devices exchange, by source line, those that write most first."""
    by_source: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in filter(_is_collective, rows):
        opcode = row.instruction.opcode.removesuffix("-start")
        entry = by_source.setdefault(
            (opcode, row.loop, row.instruction.source),
            {"executed": 0, "written_megabytes": 0.0},
        )
        entry["executed"] += row.times
        entry["written_megabytes"] += row.times * row.written / 1e6
    return [
        {"opcode": opcode, "loop": loop, "source": source}
        | entry
        | {"written_megabytes": round(entry["written_megabytes"], 3)}
        for (opcode, loop, source), entry in sorted(
            by_source.items(), key=lambda item: -item[1]["written_megabytes"]
        )
    ]


def _offender(row: Executed) -> dict[str, Any]:
    one = row.instruction
    shapes = [f"{a.dtype}{list(a.dims)} tiles {list(a.tile)}" for a in one.results[:3]]
    return {
        "operation": one.name,
        "loop": row.loop,
        "times": row.times,
        "padded_megabytes": round(row.times * row.padded / 1e6, 3),
        "written_megabytes": round(row.times * row.written / 1e6, 3),
        "shapes": shapes,
        "source": one.source,
    }
