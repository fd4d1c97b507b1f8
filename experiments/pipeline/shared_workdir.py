"""The run's folder where it lies in a bucket, or where several processes share it.

Checkpoints are saved there directly, by all processes. The other files are written into
a folder on each machine: process 0 copies its own to the shared one whenever a phase or
a checkpoint is finished, the others' go at the end. So every process runs the same
phases, and one of them writes.
"""

import contextlib
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import jax

from experiments.pipeline import workdir as workdirs
from experiments.pipeline.workdir import Workdir
from omnivla_jax.core import distributed, paths

# What a process that takes up the run has no use for; copies of these stay away.
NOT_FETCHED = (workdirs.CHECKPOINTS, workdirs.TENSORBOARD)


@contextlib.contextmanager
def opened(path: Path, config: Mapping[str, Any], *, resume: bool) -> Iterator[Workdir]:
    """Open the folder of a run for the processes that work on it; a collective.

    Args:
      path: the folder, or its address in a bucket; the same for all processes.
      config, resume: as of `workdir.open_workdir`.

    Yields:
      Where this process reads and writes.

    Raises:
      ValueError: as `workdir.require_folder`, or other processes do not see the folder.
    """
    if jax.process_count() == 1 and not paths.is_remote(path):
        yield workdirs.open_workdir(path, config, resume=resume)
        return
    is_first = jax.process_index() == 0
    with tempfile.TemporaryDirectory(prefix="omnivla-run-") as scratch:
        local = Path(scratch) / "run"
        if is_first and not paths.is_remote(path):
            local = path  # written in place
        with distributed.all_or_none():
            if is_first:
                workdirs.require_folder(path, config, resume=resume)
                workdir = _first(path, local, config)
        with distributed.all_or_none():
            if not is_first:
                workdir = _follower(path, local, config)
        try:
            yield workdir
        finally:
            workdir.publish()


def _first(path: Path, local: Path, config: Mapping[str, Any]) -> Workdir:
    """Process 0's folder: `path` itself, or a copy that is brought back to it."""
    if local == path:
        return workdirs.open_workdir(local, config, resume=True)
    fetch(path, local)
    publish = publisher(local, path)
    workdirs.open_workdir(local, config, resume=True)
    publish()
    return Workdir(local, path, publish)


def _follower(path: Path, local: Path, config: Mapping[str, Any]) -> Workdir:
    """Another process's copy, which is not kept."""
    if not (path / workdirs.CONFIG).exists():
        raise ValueError(
            f"Process {jax.process_index()} does not see the folder {path} that "
            "process 0 has made: give a --workdir on a disk that all machines share, "
            "or in a bucket."
        )
    # Before fetching, which may take long: the flags of all processes are the same.
    workdirs.require_folder(path, config, resume=True)
    fetch(path, local)
    return Workdir(local, path)


def fetch(source: Path, target: Path) -> None:
    """Copy the files of a run to this machine, but for those of `NOT_FETCHED`.

    Args:
      source: the run's folder; nothing happens where there is none yet.
      target: a folder, created where it is missing.
    """
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir() if source.is_dir() else ():
        if entry.name in NOT_FETCHED or entry.name.startswith("."):
            continue
        if entry.is_dir():
            fetch(entry, target / entry.name)
        else:
            (target / entry.name).write_bytes(entry.read_bytes())


def publisher(local: Path, target: Path) -> Callable[[], None]:
    """Make a function that copies the files of a folder that have changed.

    Args:
      local: the folder; hidden files in it, which are being written, stay there.
      target: where they go; what lies there and not in `local` is left alone.

    Returns:
      The function. What lies in `local` already counts as copied.
    """

    def stamps() -> dict[Path, tuple[int, int]]:
        stamp_of = {}
        for path in sorted(local.rglob("*")):
            name = path.relative_to(local)
            if path.is_file() and not any(part[0] == "." for part in name.parts):
                stamp_of[name] = path.stat().st_mtime_ns, path.stat().st_size
        return stamp_of

    copied = stamps()

    def publish() -> None:
        for name, stamp in stamps().items():
            if copied.get(name) != stamp:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes((local / name).read_bytes())
                copied[name] = stamp

    return publish
