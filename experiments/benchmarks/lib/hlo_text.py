"""Reads the text of a compiled XLA program: computations, instructions, layouts.

A TPU's layouts name their tiles: `f32[96,3]{1,0:T(8,128)}` keeps its last two axes in
tiles of 8 x 128, so that 288 numbers take the room of 12,288. `S(1)` is the memory on
the chip, which is a few times as fast as the memory beside it.
"""

import math
import re
from typing import Mapping, NamedTuple

_BYTES = {"pred": 1.0, "token": 0.0, "opaque": 0.0, "s4": 0.5, "u4": 0.5, "bf16": 2.0}
_ARRAY = re.compile(r"(\w+)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_TILE = re.compile(r"T\(([\d,]+)\)")
_SPACE = re.compile(r"S\((\d+)\)")
_CALLED = re.compile(
    r"(calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_FRAME = re.compile(r"stack_frame_id=(\d+)")
_SOURCE = re.compile(r'source_file="([^"]*)" source_line=(\d+)')
_TABLES = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")


class Array(NamedTuple):
    """The type of one array."""

    dtype: str
    dims: tuple[int, ...]
    minor_to_major: tuple[int, ...] = ()
    tile: tuple[int, ...] = ()  # of the minor axes; empty: without tiles
    space: int = 0  # 0: the device's main memory; 1: on the chip

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.dims)

    @property
    def raw_bytes(self) -> float:
        """Without padding."""
        return self.size * element_bytes(self.dtype)

    @property
    def padded_bytes(self) -> float:
        """As it lies in memory, each of the tiled axes filled up to whole tiles."""
        order = self.minor_to_major or tuple(reversed(range(len(self.dims))))
        dims = [self.dims[axis] for axis in order]
        tile = self.tile[::-1]
        dims += [1] * (len(tile) - len(dims))
        for axis, side in enumerate(tile):
            dims[axis] = math.ceil(dims[axis] / side) * side
        return math.prod(dims) * element_bytes(self.dtype)


class Instruction(NamedTuple):
    """One operation of a computation."""

    name: str
    opcode: str
    results: tuple[Array, ...]  # of a tuple all leaves
    operands: tuple[str, ...]  # names in the same computation
    arguments: str  # the text between the parentheses
    attributes: str  # the text after them
    source: str  # "file.py:line", or "" where unknown
    is_root: bool

    @property
    def estimated_cycles(self) -> int:
        """Of the device's clock, by the compiler's own model; 0 where it has none."""
        match = _CYCLES.search(self.attributes)
        return int(match[1]) if match else 0

    @property
    def called(self) -> dict[str, str]:
        """Computations by role: calls, to_apply, body, condition, branches 0, 1, ..."""
        roles = dict(_CALLED.findall(self.attributes))
        listed = _BRANCHES.search(self.attributes)
        if listed:
            names = [name.strip(" %") for name in listed[1].split(",")]
            roles |= {str(index): name for index, name in enumerate(names)}
        for index, role in enumerate(("true_computation", "false_computation")):
            if role in roles:
                roles[str(index)] = roles.pop(role)
        return roles


class Computation(NamedTuple):
    """Instructions in the order of the text."""

    name: str
    instructions: Mapping[str, Instruction]

    @property
    def root(self) -> Instruction:
        """What it returns."""
        listed = list(self.instructions.values())
        return next((one for one in listed if one.is_root), listed[-1])


class Program(NamedTuple):
    """A compiled module."""

    entry: str
    computations: Mapping[str, Computation]


def element_bytes(dtype: str) -> float:
    """Bytes of one number; the digits of most names are its bits."""
    if dtype in _BYTES:
        return _BYTES[dtype]
    bits = re.search(r"\d+", dtype)
    if bits is None:
        raise ValueError(f"Element type {dtype!r} of the program's text is not known.")
    return int(bits[0]) / 8


def parse_arrays(text: str) -> tuple[Array, ...]:
    """The arrays of a type: one, or all leaves of a tuple."""
    arrays = []
    for dtype, dims, layout in _ARRAY.findall(text):
        order, _, rest = layout.partition(":")
        tile, space = _TILE.search(rest), _SPACE.search(rest)
        arrays.append(
            Array(
                dtype,
                _integers(dims.replace("<=", "")),
                _integers(order),
                _integers(tile[1]) if tile else (),
                int(space[1]) if space else 0,
            )
        )
    return tuple(arrays)


def parse(text: str) -> Program:
    """Read what `jax.stages.Compiled.as_text` returns.

    Args:
      text: of one module.

    Raises:
      ValueError: the text has no entry computation.
    """
    sources = _stack_frames(text)
    computations, entry, name = {}, "", ""
    rows: dict[str, Instruction] = {}
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith((" ", "HloModule")):
            words = line.split()
            name = words[words[0] == "ENTRY"].lstrip("%")
            entry = name if words[0] == "ENTRY" else entry
            rows = {}
        elif line.startswith("}") and name:
            computations[name], name = Computation(name, rows), ""
        elif name and " = " in line:
            row = _instruction(line.strip(), sources)
            rows[row.name] = row
    if not entry:
        raise ValueError(f"No ENTRY in the program's text, which begins {text[:60]!r}.")
    return Program(entry, computations)


def trip_count(loop: Instruction, program: Program, inside: Computation) -> int | None:
    """How often the body of a `while` runs; None where the text does not tell.

    Args:
      loop: the instruction.
      program: that it is part of.
      inside: the computation that holds it.
    """
    known = _TRIPS.search(loop.attributes)
    if known:
        return int(known[1])
    condition = program.computations[loop.called["condition"]]
    root, inner = condition.root, None
    if "calls" in root.called:
        inner = program.computations[root.called["calls"]]
    test = inner.root if inner else root
    if test.opcode != "compare" or "direction=LT" not in test.attributes:
        return None
    begin = inside.instructions[loop.operands[0]]
    ends = []
    for name in test.operands:
        one = inner.instructions[name] if inner else condition.instructions[name]
        if inner and one.opcode == "parameter":
            one = condition.instructions[root.operands[int(one.arguments)]]
        index = re.search(r"index=(\d+)", one.attributes)
        if one.opcode == "get-tuple-element" and index and begin.opcode == "tuple":
            one = _origin(inside, begin.operands[int(index[1])])
        if one.opcode != "constant" or not one.arguments.lstrip("-").isdigit():
            return None
        ends.append(int(one.arguments))
    return max(ends[1] - ends[0], 0)


def _origin(computation: Computation, name: str) -> Instruction:
    """The instruction whose value `name` is, past copies."""
    one = computation.instructions[name]
    while one.opcode in ("copy", "bitcast", "copy-start", "copy-done"):
        one = computation.instructions[one.operands[0]]
    return one


def _instruction(line: str, sources: Mapping[int, str]) -> Instruction:
    """Parse `[ROOT] %name = TYPE opcode(OPERANDS), ATTRIBUTES`."""
    left, _, right = line.partition(" = ")
    end = _closing(right, 0) if right.startswith("(") else right.index(" ")
    kind, rest = right[:end], right[end:].strip()
    start = rest.index("(")
    stop = _closing(rest, start)
    arguments, attributes = rest[start + 1 : stop - 1], rest[stop:].lstrip(", ")
    frame, direct = _FRAME.search(attributes), _SOURCE.search(attributes)
    source = sources.get(int(frame[1]), "") if frame else ""
    return Instruction(
        name=left.removeprefix("ROOT ").lstrip("%"),
        opcode=rest[:start],
        results=parse_arrays(kind),
        operands=tuple(re.findall(r"%([\w.\-]+)", arguments)),
        arguments=arguments,
        attributes=attributes,
        source=f"{direct[1]}:{direct[2]}" if direct else source,
        is_root=left.startswith("ROOT "),
    )


def _closing(text: str, start: int) -> int:
    """The index past the parenthesis that closes the one at `start`."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index + 1
    raise ValueError(f"Unbalanced parentheses in {text[:120]!r}.")


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(",") if word)


def _stack_frames(text: str) -> dict[int, str]:
    """ "file.py:line" of each stack frame of the module's tables."""
    tables: dict[str, dict[int, str]] = {name: {} for name in _TABLES}
    table = None
    for line in text.splitlines():
        if line in tables:
            table = tables[line]
        elif not line.strip():
            table = None
        elif table is not None:
            number, _, rest = line.strip().partition(" ")
            table[int(number)] = rest
    places = {}
    for frame, entry in tables["StackFrames"].items():
        location = tables["FileLocations"][_field(entry, "file_location_id")]
        name = tables["FileNames"][_field(location, "file_name_id")].strip('"')
        places[frame] = f"{name}:{_field(location, 'line')}"
    return places


def _field(row: str, name: str) -> int:
    """The number of `name=NUMBER` in a row of a table."""
    match = re.search(rf"\b{name}=(\d+)", row)
    return int(match[1]) if match else 0
