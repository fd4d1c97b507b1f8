"""Tests of benchmarks.lib.hlo_text: types, tiles, sources and trip counts."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks.lib import hlo_text

TEXTS = Path(__file__).parent / "hlo"


def read(name):
    return hlo_text.parse((TEXTS / f"{name}.txt").read_text())


@pytest.mark.parametrize(
    ("text", "raw", "padded"),
    [
        ("f32[96,3]{1,0:T(8,128)}", 96 * 3 * 4, 96 * 128 * 4),
        ("f32[96,3]{0,1:T(4,128)S(1)}", 96 * 3 * 4, 128 * 4 * 4),
        ("bf16[3,5,130]{2,1,0:T(8,128)(2,1)}", 3 * 5 * 130 * 2, 3 * 8 * 256 * 2),
        ("pred[7]{0:T(512)}", 7, 512),
        ("s32[]{:T(128)}", 4, 512),
        ("u4[9]", 4.5, 4.5),
        ("f32[2,3]{1,0}", 24, 24),
    ],
)
def test_tiles_pad_the_minor_axes(text, raw, padded):
    (array,) = hlo_text.parse_arrays(text)
    assert (array.raw_bytes, array.padded_bytes) == (raw, padded)
    assert array.space == int("S(1)" in text)


def test_tuples_and_unknown_types():
    kinds = "(f32[2]{0:T(128)}, /*index=1*/(s8[3,4]{0,1:T(8,128)(4,1)}, token[]))"
    first, second, third = hlo_text.parse_arrays(kinds)
    assert (first.dims, second.minor_to_major, third.raw_bytes) == ((2,), (0, 1), 0)
    with pytest.raises(ValueError, match="'odd'"):
        hlo_text.element_bytes("odd")


def test_instructions_know_operands_calls_and_sources():
    program = read("loop")
    assert program.entry == "main.7"
    body = program.computations["body"].instructions
    assert body["fusion.8"].operands == ("bitcast.14", "get-tuple-element.87")
    assert body["fusion.8"].called == {"calls": "fused_computation.2"}
    assert body["fusion.8"].source == "/home/user/f.py:8"
    assert body["fusion.7"].source == "/home/user/f.py:9"
    assert body["fusion.7"].estimated_cycles == 1832
    assert [len(one.results) for one in body.values()].count(4) == 2
    assert program.computations["body"].root.name == "tuple.23"


def test_branches_are_numbered():
    chosen = read("branches").computations["body"].instructions["chosen"]
    assert chosen.called == {"0": "cheap", "1": "dear"}
    old = chosen._replace(
        attributes="true_computation=%yes, false_computation=%no.1, metadata={}"
    )
    assert old.called == {"0": "yes", "1": "no.1"}


@pytest.mark.parametrize(
    ("name", "loop", "trips"),
    [("loop", "while", 10), ("branches", "while.1", 7), ("branches", "while.2", None)],
)
def test_trip_counts_are_read_or_unknown(name, loop, trips):
    program = read(name)
    entry = program.computations[program.entry]
    found = hlo_text.trip_count(entry.instructions[loop], program, entry)
    assert found == trips


def test_this_machines_compiler_is_understood():
    def run(x):
        return jax.lax.fori_loop(0, 13, lambda _, x: jnp.sin(x), x)

    program = hlo_text.parse(jax.jit(run).lower(jnp.ones(5)).compile().as_text() or "")
    trips = [
        hlo_text.trip_count(one, program, computation)
        for computation in program.computations.values()
        for one in computation.instructions.values()
        if one.opcode == "while"
    ]
    assert trips == [13]


def test_what_is_no_program_is_refused():
    with pytest.raises(ValueError, match="No ENTRY"):
        hlo_text.parse("HloModule nothing\n")
