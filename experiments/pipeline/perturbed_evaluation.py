"""Evaluates under perturbations: which episode has which, and success by dimension.

Axes: N episodes.
"""

from pathlib import Path
from typing import Any, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pipeline import initial_states
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.sim import env
from omnivla_jax.sim.state import Scene
from omnivla_jax.train import environment, evaluate, perturbed_environment
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.evaluate import EvalBatch
from omnivla_jax.train.perturbed_environment import PerturbedStart
from omnivla_jax.world.perturbations import kinds, official, perturbation

UNPERTURBED = "none"


class Choice(NamedTuple):
    """What the command line asks for."""

    names: tuple[str, ...]  # of `kinds.rows`; () with official variants
    severities: tuple[float, ...]
    split: str  # of `kinds.SPLITS`
    variants: Path | None  # file of LIBERO-Plus' names; None: drawn ones

    def check(self, *, recorded: bool) -> None:
        """Raise a ValueError where the choice cannot be played from such states."""
        rows = kinds.rows(self.names) if self.variants is None else ()
        if recorded and set(rows) & set(kinds.rows(["layout"])):
            raise ValueError(
                "--perturb=layout changes where objects are sampled, but "
                "--initial_states gives recorded ones: leave one of the two out."
            )
        kinds.allowed(1, self.split)
        wrong = [value for value in self.severities if not 0 <= value <= 1]
        if wrong or not self.severities:
            raise ValueError(f"--severity={wrong}: give numbers from 0 to 1.")


class Label(NamedTuple):
    """What one episode is counted under."""

    dimension: str  # of `kinds.DIMENSIONS`, or UNPERTURBED
    kind: str  # within it; an official variant's fields
    severity: float | None  # None: of an official variant
    name: str = ""  # of an official variant
    stand_in: str = ""  # what stands in for data that are not public


def plan(
    choice: Choice, scene: Scene, starts: EvalBatch, tasks: Sequence[int]
) -> tuple[EvalBatch, list[Label]]:
    """Give every episode a perturbation and a label.

    Tasks take turns, then dimensions, which get equally many episodes, and within each
    of them its kinds, then severities. Official variants are played in their order, one
    episode each.

    Args:
      choice: of the command line.
      scene: with distractors where layouts shall have some.
      starts: of N episodes, whose tasks take turns; variants bring their own tasks.
      tasks: rows of the suite.

    Returns:
      The episodes with their perturbations in `key`, and N labels.
    """
    count = len(starts.task)
    if choice.variants is not None:
        listed = official_variants(choice, scene, tasks)
        listed = [listed[number % len(listed)] for number in range(count)]
        change = official.perturbations(scene, listed)
        task = np.array([one.task for one in listed], np.int32)
        return _with_changes(starts, task, change), [_official(one) for one in listed]
    pairs = [_kind_and_severity(choice, n // len(tasks)) for n in range(count)]
    kind, severity = (np.array(column) for column in zip(*pairs))
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(starts.noise_key)
    change = perturbation.draw_in_turn(
        scene,
        keys,
        kinds.one_hot(jnp.asarray(kind)),
        jnp.asarray(severity, jnp.float32),
        split=choice.split,
    )
    labels = []
    for row, size in zip(kind, severity):
        dimension, name = kinds.KINDS[row].split(".")
        labels.append(Label(dimension, name, float(size)))
    return _with_changes(starts, np.asarray(starts.task), change), labels


def first_states(
    choice: Choice | None, scene: Scene, tasks: Sequence[int]
) -> list[tuple[int, int]]:
    """The task and the number of the recorded state of every variant: the first one.

    Raises:
      ValueError: some variants change the layout, which recorded states have already.
    """
    listed = official_variants(choice, scene, tasks)
    moved = [one.name for one in listed if one.dimension == "layout"]
    if moved:
        raise ValueError(
            f"{len(moved)} variants such as {moved[0]!r} change the layout, but "
            "--initial_states gives recorded ones: leave them out of the file, or "
            "sample initial states."
        )
    return [(one.task, 0) for one in listed]


def official_variants(
    choice: Choice | None, scene: Scene, tasks: Sequence[int]
) -> list[official.OfficialVariant]:
    """The listed variants of some tasks.

    Raises:
      ValueError: none of the listed variants is of these tasks.
    """
    assert choice is not None and choice.variants is not None
    names = official.read_names(choice.variants, scene.name)
    listed = [one for one in official.variants(scene, names) if one.task in tasks]
    if not listed:
        raise ValueError(f"{choice.variants} lists no variants of tasks {list(tasks)}.")
    return listed


def make_environment(
    scene: Scene, config: PolicyConfig, *, size: int, recorded: bool, perturbed: bool
) -> Environment:
    """The simulator of an evaluation.

    Args:
      scene: the tasks.
      config: of the policy, with room for rewordings where `perturbed`.
      size: pixels a side of the images.
      recorded: whether episodes start from recorded states.
      perturbed: whether `reset` takes what `plan` returns.
    """
    if not perturbed:
        simulator = environment.simulator(scene, config, size=size)
        return initial_states.restoring(simulator, scene) if recorded else simulator
    place = initial_states.restore if recorded else env.place
    return perturbed_environment.simulator(scene, config, size=size, place=place)


def summarise(success: np.ndarray, labels: Sequence[Label]) -> dict[str, Any]:
    """Success by dimension, its kinds and severities, with 95 % intervals.

    Args:
      success: bool [N].
      labels: N.

    Returns:
      "dimensions", and "mean": of the dimensions' rates, ready for JSON.
    """
    dimensions: dict[str, Any] = {}
    for name in (UNPERTURBED, *kinds.DIMENSIONS):
        rows = [row for row, label in enumerate(labels) if label.dimension == name]
        if not rows:
            continue
        stand_ins = {labels[row].stand_in for row in rows} - {""}
        dimensions[name] = _rate(success, rows) | {
            "kinds": _by(success, labels, rows, "kind"),
            "severities": _by(success, labels, rows, "severity"),
            "stand_ins": sorted(stand_ins),
        }
    rates = [row["success"] for key, row in dimensions.items() if key != UNPERTURBED]
    return {"dimensions": dimensions, "mean": float(np.mean(rates)) if rates else None}


def _with_changes(
    starts: EvalBatch, task: np.ndarray, change: perturbation.Perturbation
) -> EvalBatch:
    return starts._replace(
        task=jnp.asarray(task),
        instruction_id=jnp.asarray(task),
        key=PerturbedStart(starts.key, change),
    )


def _kind_and_severity(choice: Choice, turn: int) -> tuple[int, float]:
    """What turn after turn plays: a row of `kinds.KINDS`, and how severe."""
    members: dict[str, list[int]] = {}
    for row in kinds.rows(choice.names):
        members.setdefault(kinds.KINDS[row].split(".")[0], []).append(row)
    again, dimension = divmod(turn, len(members))
    rows = list(members.values())[dimension]
    severities = choice.severities
    return (
        rows[again % len(rows)],
        severities[again // len(rows) % len(severities)],
    )


def _official(one: official.OfficialVariant) -> Label:
    kind = "+".join(one.changes) or UNPERTURBED
    return Label(one.dimension or UNPERTURBED, kind, None, one.name, one.stand_in)


def _by(
    success: np.ndarray, labels: Sequence[Label], rows: Sequence[int], field: str
) -> dict[str, Any]:
    """Rates of the rows by the values of one field, in order of appearance."""
    groups: dict[str, list[int]] = {}
    for row in rows:
        value = getattr(labels[row], field)
        if value is not None:
            groups.setdefault(str(value), []).append(row)
    return {value: _rate(success, members) for value, members in groups.items()}


def _rate(success: np.ndarray, rows: Sequence[int]) -> dict[str, Any]:
    hits = int(np.sum(success[list(rows)]))
    return {
        "success": hits / len(rows),
        "interval": list(evaluate.wilson_interval(hits, len(rows))),
        "episodes": len(rows),
    }
