"""Datasets on disk as demonstrations: a reader by name for each layout.

    for demonstration in READERS["modified_libero_rlds"](path): ...
    for demonstration in READERS[detect(path)](path): ...

A reader is a module with two functions. `recognizes(path)` is True where `path` has the
reader's layout. `read(path, *, image_convention=None)` yields demonstrations in the
order of the files, with upright pictures that are decoded on access (`lazy_images`);
None stands for the layout's own convention. A new layout is a module and a line of
`_MODULES`.
"""

from pathlib import Path
from typing import Iterator, Protocol

from data_pipelines.readers import modified_libero_rlds, rlds
from omnivla_jax.core import file_kinds
from omnivla_jax.core.types import Demonstration


class Reader(Protocol):
    """A function from a path to its demonstrations; an error is one line."""

    def __call__(
        self, path: Path, *, image_convention: str | None = None
    ) -> Iterator[Demonstration]:
        """Yield demonstrations; `image_convention` as `core.orientation` names it."""


# The more special layout first: `detect` takes the first that fits.
_MODULES = {"rlds": rlds, "modified_libero_rlds": modified_libero_rlds}
READERS: dict[str, Reader] = {name: module.read for name, module in _MODULES.items()}


def detect(path: Path) -> str:
    """The name of the reader whose layout `path` has.

    Raises:
      FileNotFoundError: there is nothing at `path`.
      ValueError: no reader knows the layout, or `path` holds several datasets.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"No demonstrations in {path}: there is no such path.")
    for name, module in _MODULES.items():
        if module.recognizes(path):
            return name
    known = ", ".join(READERS)
    if path.is_file():
        raise ValueError(
            f"{file_kinds.describe(path)} A dataset is a folder of one of the layouts "
            f"{known}."
        )
    entries = sorted(entry.name for entry in path.iterdir())
    found = ", ".join(entries[:4]) + (", ..." if entries[4:] else "")
    raise ValueError(
        f"{path} has none of the layouts {known}; it holds {found or 'no files'}: name "
        "the dataset's own folder."
    )
