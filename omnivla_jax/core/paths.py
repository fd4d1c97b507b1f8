"""Paths on a local disk or in a bucket, with the methods of `pathlib.Path` for both."""

import importlib.util
import os
from pathlib import Path
from typing import cast

from etils import epath

# What reads a bucket, by the scheme of its address. orbax writes to these two.
DRIVERS = {"gs": "gcsfs", "s3": "s3fs"}


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is an address such as "gs://bucket/run"."""
    return "://" in os.fspath(path)


def parse(path: str | os.PathLike[str]) -> Path:
    """A path as a user writes it.

    Args:
      path: of a local disk, `~` being the home folder; or the address of a bucket.

    Returns:
      A `pathlib.Path`, or for a bucket an `epath.Path`, which reads and writes whole
      files like one but has neither locks nor an atomic rename.

    Raises:
      ValueError: an address of another kind than those of `DRIVERS`.
      ImportError: what reads that kind of bucket is not installed.
    """
    text = os.fspath(path)
    if not is_remote(text):
        return Path(text).expanduser()
    scheme = text.split("://")[0]
    if scheme not in DRIVERS:
        known = " and ".join(f"{name}://" for name in DRIVERS)
        raise ValueError(f"{text} is no path: buckets are {known}.")
    # epath prefers TensorFlow's file systems where TensorFlow is installed.
    if not any(map(importlib.util.find_spec, (DRIVERS[scheme], "tensorflow"))):
        raise ImportError(
            f"{text} needs {DRIVERS[scheme]}: pip install 'omnivla-rl[buckets]'."
        )
    return cast(Path, epath.Path(text))


def absolute(path: str | os.PathLike[str]) -> Path:
    """`parse`, and from the root of the disk; an address already is."""
    parsed = parse(path)
    return parsed if is_remote(parsed) else parsed.absolute()


def hub_snapshot(path: str | os.PathLike[str]) -> Path:
    """A repository in Hugging Face's cache as the folder that its files lie in.

    Args:
      path: of a local disk. `datasets--NAME` and `models--NAME` in the cache hold blobs
        and snapshots; any other path stays as it is.

    Returns:
      The snapshot of the branch `main`, or the only one.

    Raises:
      ValueError: there are several, and none is that of `main`.
    """
    path = Path(path).expanduser()
    folder, branch = path / "snapshots", path / "refs" / "main"
    if not folder.is_dir() or not (path / "blobs").is_dir():
        return path
    snapshots = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    if branch.is_file():
        named = folder / branch.read_text("utf-8").strip()
        snapshots = [named] if named in snapshots else snapshots
    if len(snapshots) != 1:
        raise ValueError(
            f"{path} is a repository in Hugging Face's cache with {len(snapshots)} "
            "snapshots: "
            + (f"name one, such as {snapshots[0]}." if snapshots else "download one.")
        )
    return snapshots[0]
