"""Writes a file whole or not at all."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Iterator


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place on success.

    An interruption or a full disk leaves an earlier file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any, *, indent: int = 2) -> None:
    """Write `content` as the JSON file `path`."""
    text = json.dumps(content, indent=indent) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")
