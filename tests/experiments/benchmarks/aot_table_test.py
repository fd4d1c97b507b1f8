"""Tests of experiments.benchmarks.aot_table: the search, and rows that are kept."""

import json

import pytest

from experiments.benchmarks import aot_table
from experiments.benchmarks.aot_table import Cell

CELL = Cell("sft", "full", "v5p-8")
ROOM = 95.74 * 2**30 / 1e6  # megabytes of a device of it


def row(batch, megabytes):
    """What a compilation says of a policy that takes `megabytes` a device."""
    return CELL._asdict() | {
        "batch": batch,
        "device": "4 x TPU v5",
        "device_megabytes": megabytes,
        "argument_megabytes": 0.25 * megabytes,
        "temporary_megabytes": 0.5 * megabytes,
        "compile_cpu_seconds": 60.0,
        "collectives_executed": 3,
        "fits": megabytes <= ROOM,
    }


@pytest.mark.parametrize("a_batch", [50.0, 900.0, 3000.0, 40_000.0])
def test_the_largest_power_of_two_is_found(a_batch):
    """Of memory that grows with the batch, in few compilations."""
    rows: list[dict] = []
    while (batch := aot_table.next_batch(CELL, rows)) is not None:
        assert batch not in [known["batch"] for known in rows]
        rows.append(row(batch, 20_000 + a_batch * batch))
    fits = [known["batch"] for known in rows if known["fits"]]
    assert len(rows) <= 5
    if not fits:
        assert 20_000 + 4 * a_batch > ROOM
        return
    best = max(fits)
    limited = 20_000 + 2 * best * a_batch > ROOM
    assert limited or best == 4 * aot_table.LARGEST


def test_rows_are_kept_and_not_compiled_again(tmp_path, monkeypatch):
    table = tmp_path / "rows.jsonl"
    compiled = []

    def compile_row(cell, batch, limit):
        compiled.append(batch)
        if len(compiled) == 2:
            return cell._asdict() | {"batch": batch, "failed": "cut off"}
        return row(batch, 30_000 + 500 * batch)

    monkeypatch.setattr(aot_table, "compile_row", compile_row)
    aot_table.complete(CELL, table, 1.0)
    assert compiled == [8, 32]  # the second failed
    aot_table.complete(CELL, table, 1.0)
    assert compiled == [8, 32, 32, 128]
    aot_table.complete(CELL, table, 1.0)
    assert len(compiled) == 4
    assert "| sft full, v5p-8 | 128 |  | 23,500 | 47,000 | 60 | 3 |" in (
        aot_table.markdown(table)
    )
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert [known["batch"] for known in rows] == compiled


def test_cells_are_chosen_by_patterns():
    assert list(aot_table.cells(["sft-full-v5p-8"])) == [CELL]
    assert {cell.topology for cell in aot_table.cells(["*-v5e-*"])} == {
        "v5e-8",
        "v5e-16",
    }
    assert not list(aot_table.cells(["render-*"]))
