"""The policy that experiments.evaluate plays: of a run's checkpoint, or published."""

import dataclasses
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple

import jax
import numpy as np

from experiments.configs import quickstart
from experiments.configs.schema import ExperimentConfig, from_config
from experiments.pipeline import policy_checkpoint
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.policy.pretrained.published import Published
from omnivla_jax.sim.libero import tasks as task_tables
from omnivla_jax.train.acting import OTHER
from omnivla_jax.train.evaluate import EvaluateConfig
from omnivla_jax.train.state import eval_params

EPISODES = 50  # of each task, as in openpi's own evaluation


class EvaluatedPolicy(NamedTuple):
    """Parameters that act, and the settings that they come with."""

    config: ExperimentConfig
    params: PyTree
    normalizer: Normalizer
    origin: dict[str, Any]  # what the summary says of it


def from_checkpoint(path: Path, stage: str | None) -> EvaluatedPolicy:
    """Restore the policy of a run.

    Raises:
      ValueError: what `policy_checkpoint.restore` raises, or the checkpoint is of
        stage I, which trains no actions.
    """
    restored = policy_checkpoint.restore(path, stage)
    if restored.stage == "spatial":
        raise ValueError(
            f"{restored.path} is of stage I, which trains no actions: train sft from "
            "it with --config.init_checkpoint, and evaluate that."
        )
    origin = {
        "checkpoint": str(restored.path),
        "stage": restored.stage,
        "update": restored.update,
    }
    state = restored.state
    return EvaluatedPolicy(
        restored.config, eval_params(state), state.normalizer, origin
    )


def composed(chosen: EvaluatedPolicy, path: Path | None) -> EvaluatedPolicy:
    """The policy with a second one beside it, whose velocity is mixed in.

    Args:
      chosen: the policy.
      path: checkpoint of the second one; None: there is none.

    Raises:
      ValueError: they differ in their sizes or in the units of their actions, so that
        their velocities are of different things.
    """
    if path is None:
        return chosen
    other = from_checkpoint(path, None)
    same_units = all(
        np.array_equal(ours, theirs)
        for ours, theirs in zip(
            jax.tree.leaves(chosen.normalizer), jax.tree.leaves(other.normalizer)
        )
    )
    if other.config.policy != chosen.config.policy or not same_units:
        differs = "units" if other.config.policy == chosen.config.policy else "sizes"
        raise ValueError(
            f"--compose={path} is a policy of other {differs}: compose checkpoints of "
            "one run, or of runs from the same demonstrations."
        )
    return chosen._replace(params=chosen.params | {OTHER: other.params})


def from_weights(
    load: Callable[[], Published],
    *,
    suite: str,
    task_files: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> EvaluatedPolicy:
    """Published weights, to be played on every task of a suite.

    Args:
      load: reads them, once the suite is known to be there.
      suite: a name or a path, as `sim.libero.tasks.suite` takes it.
      task_files: its options.
      origin: what the summary says of them.

    Raises:
      ValueError: the suite is wrong, or what `load` raises.
    """
    table = task_tables.suite(suite, **task_files)
    loaded = load()
    base, recipe = from_config(quickstart.get_config()), loaded.recipe
    tasks = tuple(range(len(table.tasks)))
    config = dataclasses.replace(
        base,
        suite=suite,
        task_files={**base.task_files, **task_files},
        tasks=tasks,
        image_size=loaded.config.vision.image_size,
        policy=loaded.config,
        evaluation=EvaluateConfig(
            episodes=EPISODES * len(tasks),
            batch_size=len(tasks),
            chunks=table.horizon // recipe.exec_horizon,
            exec_horizon=recipe.exec_horizon,
            steps=recipe.ode_steps,
            recorded=0,
        ),
    )
    return EvaluatedPolicy(config, loaded.params, loaded.normalizer, dict(origin))
