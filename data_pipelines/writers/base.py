"""What a writer of datasets is, and what all of them share."""

import itertools
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple, Protocol

from data_pipelines.errors import check_episode
from omnivla_jax.core.types import Demonstration


class Write(Protocol):
    """A function that stores demonstrations, one at a time, whole or not at all."""

    def __call__(
        self,
        directory: Path,
        episodes: Iterable[Demonstration],
        *,
        name: str,
        task_names: dict[int, str] | None = None,
    ) -> Path:
        """Store a dataset below `directory`.

        An earlier one of this program's under the same name is replaced.

        Args:
          directory: of datasets, created where it is missing.
          episodes: at least one, in the order in which readers return them.
          name: of the dataset.
          task_names: what LIBERO calls the tasks, by `Demonstration.task`, for layouts
            that name files after them.

        Returns:
          The folder of the dataset.

        Raises:
          ValueError: no episodes, or one with other arrays than LIBERO's.
          FileExistsError: what would be replaced was not written by this program.
          OSError: the files cannot be written, for example because the disk is full.
        """


class Writer(NamedTuple):
    """A layout on disk."""

    # (directory, name): what `write` would refuse is refused before there are episodes,
    # by a FileExistsError, or a ModuleNotFoundError where a package is not installed
    check_writable: Callable[[Path, str], None]
    write: Write
    # (directory, name): demonstrations of the dataset there, 0 where it is not whole
    count_episodes: Callable[[Path, str], int]


def checked(episodes: Iterable[Demonstration]) -> tuple[int, Iterator[Demonstration]]:
    """The side of the pictures in pixels, and the episodes, each checked when taken.

    Raises ValueError where there are none, or one of another size.
    """
    remaining = iter(episodes)
    first = next(remaining, None)
    if first is None:
        raise ValueError("There are no demonstrations to write: collect some first.")
    side = int(first.images.shape[2])

    def in_order() -> Iterator[Demonstration]:
        for index, episode in enumerate(itertools.chain([first], remaining)):
            check_episode(episode, index, side)
            yield episode

    return side, in_order()
