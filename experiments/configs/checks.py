"""Checks of a config's settings against the suite and the policy that they are for."""

from typing import Any, Mapping, Sequence

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.sim.libero import tasks as task_tables
from omnivla_jax.sim.libero.tasks import Suite


def check_tasks(suite: Suite, tasks: Sequence[int], *, example: str) -> None:
    """Refuse tasks that are not different rows of a suite, at least one.

    Args:
      suite: the suite.
      tasks: rows.
      example: flag that chooses the first task, for the message.

    Raises:
      ValueError: naming the rows that are repeated or unknown.
    """
    count = len(suite.tasks)
    unknown = [row for row in tasks if type(row) is not int or not 0 <= row < count]
    if tasks and not unknown and len(set(tasks)) == len(tasks):
        return
    problem = f"Repeated tasks {list(tasks)}" if tasks else "No tasks"
    problem = f"Unknown tasks {unknown}" if unknown else problem
    if count == 1:
        raise ValueError(
            f"{problem}: {suite.name} has 1 task, add {example} to the command."
        )
    several = f"{example.removesuffix(',')},1"
    raise ValueError(
        f"{problem} of {suite.name}: choose different ones among 0 to {count - 1}, "
        f"such as {several}."
    )


def check_sizes(raw: Mapping[str, Any], policy: PolicyConfig) -> None:
    """Refuse chunks and pictures that the policy does not have."""
    if not 1 <= raw["exec_horizon"] <= policy.horizon:
        raise ValueError(
            f"exec_horizon={raw['exec_horizon']} must lie between 1 and the policy's "
            f"chunk length {policy.horizon}."
        )
    if raw["image_size"] != policy.vision.image_size:
        raise ValueError(
            f"image_size={raw['image_size']}, but the policy takes "
            f"{policy.vision.image_size}: make them equal."
        )


def check_suite(raw: Mapping[str, Any]) -> None:
    """Refuse tasks and episodes that the suite does not have."""
    table = task_tables.suite(raw["suite"], **raw["task_files"])
    check_tasks(table, raw["tasks"], example="--config.tasks=0,")
    limit = table.horizon
    if raw["chunks"] * raw["exec_horizon"] > limit:
        raise ValueError(
            f"chunks={raw['chunks']} of exec_horizon={raw['exec_horizon']} exceed the "
            f"suite's {limit} control steps: lower one, or raise task_files.horizon."
        )
