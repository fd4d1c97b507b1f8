"""Tests of experiments.reporting.records: what is written is read back."""

import json

import pytest

from experiments.reporting import records
from experiments.reporting.records import Run


def run(variant="a", seed=0, *, updates=2, **settings):
    history = [{"update": float(n + 1), "loss": 0.1 * n} for n in range(updates)]
    settings = {"rl.clip": [0.1, 0.2], "seed": seed, **settings}
    phase = "after" if updates else "before"
    return Run(variant, seed, settings, {phase: {"success": 0.5}}, history, {phase: 1})


def test_runs_are_read_back_as_written(tmp_path):
    other = run("b, with a comma", 1, updates=1, **{"rl.kl": 0.0})
    other.history[0]["kl"] = 0.25
    written = [run(**{"rl.kl": 0.01}), other, run(updates=0, seed=2, **{"rl.kl": 0.01})]
    records.save(tmp_path / "x", written, variants=("a",))
    assert records.load(tmp_path / "x") == (written, ["a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "x.json"]


def test_shared_settings_are_written_once(tmp_path):
    written = [run(seed=n, **{"rl.kl": 0.01 * (n == 2)}) for n in range(3)]
    records.save(tmp_path / "x", written, variants=("a",))
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["settings"] == {"rl.clip": [0.1, 0.2], "rl.kl": 0.0}
    settings = [entry["settings"] for entry in content["runs"]]
    assert settings == [{}, {}, {"rl.kl": 0.01}]


def test_final_evaluation_is_after_rl():
    assert run().final == run(updates=0).final == {"success": 0.5}


def test_damaged_files_are_named(tmp_path):
    records.save(tmp_path / "x", [run()], variants=("a",))
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="x.json is not a table of records"):
        records.load(tmp_path / "x")


def test_flatten():
    nested = {"a": {"b": 1, "c": {"d": 2}}, "e": {}, "f": [3]}
    assert records.flatten(nested) == {"a.b": 1, "a.c.d": 2, "e": {}, "f": [3]}
