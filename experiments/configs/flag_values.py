"""Values of flags that several launchers have in common."""

from typing import Sequence

from absl import flags

from experiments.configs.checks import check_tasks
from omnivla_jax.sim.libero.tasks import Suite

API_KEY_VARIABLE = "OMNIVLA_API_KEY"  # environment variable of the server's key


def task_rows(words: Sequence[str]) -> tuple[int, ...]:
    """The rows of a suite that --tasks lists; a comma may end the numbers.

    Raises:
      flags.Error: a word is no number.
    """
    try:
        return tuple(int(word) for word in words if word)
    except ValueError as error:
        listed = ",".join(words)
        raise flags.Error(f"--tasks={listed} takes numbers: 0,3") from error


def suite_rows(words: Sequence[str] | None, suite: Suite) -> tuple[int, ...]:
    """The rows of `suite` that --tasks lists; None: all.

    Raises what `task_rows` raises, and a ValueError where the suite has no such row.
    """
    if words is None:
        return tuple(range(len(suite.tasks)))
    rows = task_rows(words)
    check_tasks(suite, rows, example="--tasks=0")
    return rows
