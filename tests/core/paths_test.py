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


def test_a_repository_in_the_hubs_cache_is_found(tmp_path):
    root = tmp_path / "datasets--someone--libero"
    first, second = (root / "snapshots" / name for name in ("0a1b", "2c3d"))
    for folder in (root / "blobs", root / "refs", first):
        folder.mkdir(parents=True)
    assert paths.hub_snapshot(root) == first
    second.mkdir()
    with pytest.raises(ValueError, match="2 snapshots: name one, such as .*0a1b"):
        paths.hub_snapshot(root)
    (root / "refs" / "main").write_text("2c3d\n")
    assert paths.hub_snapshot(str(root)) == second
    assert paths.hub_snapshot(first) == first
    assert paths.hub_snapshot(tmp_path / "nowhere") == tmp_path / "nowhere"
