"""Tests of omnivla_jax.core.paths: disks, buckets, and what is neither."""

from pathlib import Path

import pytest

from omnivla_jax.core import paths


def test_a_local_path_stays_one():
    assert paths.parse("runs/mine") == Path("runs/mine")
    assert paths.parse("~/runs") == Path.home() / "runs"
    assert paths.parse(Path("/tmp")) == Path("/tmp")
    assert paths.absolute("runs") == Path.cwd() / "runs"


def test_an_address_keeps_its_slashes(monkeypatch):
    monkeypatch.setitem(paths.DRIVERS, "gs", "fsspec")
    path = paths.parse("gs://bucket/run")
    assert str(path / "phases" / "after.json") == "gs://bucket/run/phases/after.json"
    assert str(paths.absolute(path)) == "gs://bucket/run" and path.name == "run"
    assert paths.parse(path) == path


def test_other_addresses_and_missing_drivers_are_told(monkeypatch):
    with pytest.raises(ValueError, match="http://x is no path: buckets are gs:// and"):
        paths.parse("http://x")
    monkeypatch.setitem(paths.DRIVERS, "gs", "not_there")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'omnivla-rl\[buckets\]'"):
        paths.parse("gs://bucket/run")
