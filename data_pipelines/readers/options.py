"""What a user may say about a dataset that its files do not, or say wrongly."""

import dataclasses
from dataclasses import dataclass
from typing import Collection, NamedTuple


@dataclass(frozen=True)
class ReadOptions:
    """Settings of a reader; where one is None or empty the layout's own holds.

    Names of features are those of the files. Every reader takes `gripper` and
    `remove_noops`; a reader's module lists the others that it takes as `OPTIONS`.
    """

    image_convention: str | None = None  # how pictures lie on disk: `core.orientation`
    cameras: tuple[str, ...] = ()  # features of the views, the agent's first
    state_keys: tuple[str, ...] = ()  # features that make up the state, in this order
    action_keys: tuple[str, ...] = ()  # likewise the action
    fps: float | None = None  # of the timestamps in the files; no frame is resampled
    split: str | None = None  # named part of the dataset
    gripper: str | None = None  # rule of its commands on disk: `grippers.MEANINGS`
    remove_noops: bool = False  # leave out steps that `noops` finds
    seed: int = 0  # where one of several cameras or instructions is drawn


class InputNames(NamedTuple):
    """Names under which a robot hands a policy what it learned from; (): LIBERO's."""

    cameras: tuple[str, ...] = ()  # the agent's first
    state: tuple[str, ...] = ()  # joined in this order


def check_taken(options: ReadOptions, reader: str, taken: Collection[str]) -> None:
    """Refuse options that a reader would ignore.

    Args:
      options: the user's.
      reader: name of the reader.
      taken: names of the options that it takes, beyond `gripper` and `remove_noops`.

    Raises:
      ValueError: an option is set that is not among them, or two cameras are one.
    """
    always = ("gripper", "remove_noops", "seed")
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value == field.default or field.name in (*always, *taken):
            continue
        known = ", ".join(sorted({"gripper", "remove_noops", *taken}))
        raise ValueError(
            f"data.{field.name}={value!r} is not an option of the reader {reader}, "
            f"which takes {known}: leave it out."
        )
    if len(set(options.cameras)) < len(options.cameras):
        raise ValueError(f"data.cameras names one twice: {', '.join(options.cameras)}.")
