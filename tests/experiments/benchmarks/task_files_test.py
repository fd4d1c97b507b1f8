"""Tests of experiments.benchmarks.task_files: every kind, and what it would find."""

import pytest

from experiments.benchmarks import task_files
from omnivla_jax.sim.libero import files, tasks

pytestmark = pytest.mark.filterwarnings(
    "ignore::omnivla_jax.sim.libero.task_files.TaskFileWarning"
)
# A name with "_table_" in it, another, and one with a scene's prefix.
BASES = [
    files.suite_files(suite).paths[row]
    for suite, row in (
        ("libero_spatial", 2),
        ("libero_object", 0),
        ("libero_10", 3),
    )
]


def test_every_kind_loads_with_the_right_instruction(tmp_path):
    counts = task_files.count_variants(BASES, task_files.KINDS, 1, tmp_path)
    assert set(counts) == set(task_files.KINDS)
    whole = {"files": 3, "loaded": 3, "right": 3, "scenes": 3, "wrong": []}
    assert counts == dict.fromkeys(task_files.KINDS, whole)


@pytest.mark.parametrize("change, says", [
    ({"instruction": "put it down"}, "instruction"),
    ({"base_name": "a"}, "base name"),
    ({"objects": ()}, "objects"),
    ({"appearance": "dark"}, "appearance"),
    ({"goal": ()}, "goal"),
])  # fmt: skip
def test_what_is_wrong_is_found(tmp_path, change, says):
    row = task_files.write_variant(BASES[0], "add", 1, tmp_path)
    base, task = tasks.read_task(BASES[0]), tasks.read_task(row.path)
    assert task_files.errors(row, base, task) == []
    if says == "objects":
        change = {"objects": base.objects}
    found = task_files.errors(row, base, task._replace(**change))
    assert len(found) == 1 and found[0].startswith(says)


def test_a_layout_that_is_not_moved_is_found(tmp_path):
    row = task_files.write_variant(BASES[1], "moved", 3, tmp_path)
    base, task = tasks.read_task(BASES[1]), tasks.read_task(row.path)
    assert task_files.errors(row, base, task) == []
    still = task._replace(objects=base.objects)
    assert "layout" in task_files.errors(row, base, still)[0]


def test_a_folder_is_counted_by_kind(tmp_path):
    for kind in ("light", "language"):
        row = task_files.write_variant(BASES[0], kind, 1, tmp_path)
    (tmp_path / "wrong.bddl").write_text("(define")
    right = {"files": 1, "loaded": 1, "right": 1}
    assert task_files.count_folder(tmp_path) == {
        "language": right, "light": right,
        "not loaded": {"files": 1, "loaded": 0, "right": 0},
    }  # fmt: skip
    assert "could you pick the akita black bowl" in row.instruction
