"""Values of flags that several launchers have in common."""

from typing import Sequence

from absl import flags

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
