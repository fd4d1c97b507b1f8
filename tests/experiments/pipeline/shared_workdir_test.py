"""Tests of pipeline.shared_workdir: a run's folder in a bucket, one process at a time.

The bucket is fsspec's in memory; `pod_test.py` has several processes.
"""

import json

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from experiments.pipeline import shared_workdir
from omnivla_jax.core import paths

CONFIG = {"seed": 0, "tasks": [5, 7]}


class Bucket(MemoryFileSystem):
    """s3:// in the memory of this process."""

    protocol = "s3"
    store: dict = {}
    pseudo_dirs = [""]

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.removeprefix("s3://"))


@pytest.fixture
def run(monkeypatch):
    """The address of a run's folder in an empty bucket."""
    monkeypatch.setitem(paths.DRIVERS, "s3", "fsspec")
    monkeypatch.setattr(Bucket, "store", {})
    monkeypatch.setattr(Bucket, "pseudo_dirs", [""])
    fsspec.register_implementation("s3", Bucket, clobber=True)
    return paths.parse("s3://bucket/run")


def opened(path, config=CONFIG, *, resume=False):
    return shared_workdir.opened(path, config, resume=resume)


def test_what_a_run_writes_reaches_the_bucket(run):
    with opened(run) as workdir:
        assert json.loads((run / "config.json").read_text()) == CONFIG
        workdir.metrics_file("sft").write_text("update,loss\n1,2\n")
        (workdir.path / ".half-written").write_text("")
        assert not (run / "sft.csv").exists()
        workdir.save_result("before", {"success": 0.5})
        assert (run / "sft.csv").read_text() == "update,loss\n1,2\n"
        assert workdir.checkpoints("sft") == run / "checkpoints" / "sft"
        (workdir.path / "report.html").write_text("<p>")
    assert not workdir.path.exists()
    assert (run / "report.html").read_text() == "<p>"
    assert not (run / ".half-written").exists()


def test_a_resumed_run_finds_its_files_again(run, monkeypatch):
    with opened(run) as workdir:
        (workdir.path / "demonstrations" / "1.0.0").mkdir(parents=True)
        (workdir.path / "demonstrations" / "1.0.0" / "data").write_bytes(b"\0\1")
        workdir.save_result("demonstrations", {"episodes": 3})
    (run / "checkpoints" / "sft").mkdir(parents=True)
    (run / "checkpoints" / "sft" / "large").write_text("")
    written = []
    monkeypatch.setattr(
        type(run), "write_bytes", lambda path, data: written.append(path.name)
    )
    with opened(run, resume=True) as workdir:
        assert workdir.result("demonstrations") == {"episodes": 3}
        data = workdir.path / "demonstrations" / "1.0.0" / "data"
        assert data.read_bytes() == b"\0\1"
        assert not (workdir.path / "checkpoints").exists()
        workdir.save_result("after", {})
    assert written == ["after.json"], "what has not changed is not copied again"


def test_a_bucket_is_refused_as_a_folder_is(run):
    with opened(run):
        pass
    with pytest.raises(ValueError, match="s3://bucket/run is not empty: add --resume"):
        with opened(run):
            pass
    with pytest.raises(ValueError, match=r"with other settings \(seed\)"):
        with opened(run, CONFIG | {"seed": 1}, resume=True):
            pass
    with pytest.raises(ValueError, match="give --workdir=s3://bucket/run.$"):
        with opened(run / "phases"):
            pass
    (run.parent / "model" / "weights").parent.mkdir()
    (run.parent / "model" / "weights").write_text("")
    with pytest.raises(ValueError, match="model holds no run of this job but weights"):
        with opened(run.parent / "model"):
            pass


def test_an_error_leaves_what_was_written(run):
    with pytest.raises(KeyboardInterrupt), opened(run) as workdir:
        (workdir.path / "sft.csv").write_text("update\n")
        raise KeyboardInterrupt
    assert (run / "sft.csv").read_text() == "update\n"


def test_a_local_folder_is_used_in_place(tmp_path):
    with opened(tmp_path / "run") as workdir:
        assert workdir.path == tmp_path / "run" and workdir.shared is None
        workdir.publish()
    assert (tmp_path / "run" / "config.json").exists()
