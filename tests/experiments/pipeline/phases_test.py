"""Tests of pipeline.phases: whose words are heard, and what tasks are called."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.pipeline import phases
from experiments.pipeline.run_context import task_names
from experiments.pipeline.workdir import Workdir
from omnivla_jax.sim.libero import tasks
from omnivla_jax.train import evaluate
from omnivla_jax.train.evaluate import EvaluateConfig

CONFIG = EvaluateConfig(episodes=6, batch_size=3, chunks=1, exec_horizon=1)


@pytest.fixture
def context(tmp_path) -> Any:
    """A run on a folder of files, of which the first two tell the same."""
    goal = tasks.suite("libero_goal").tasks
    variants = (goal[8]._replace(name="view_1"), goal[8]._replace(name="view_2"))
    config = SimpleNamespace(seed=0, tasks=(0, 1, 2), evaluation=CONFIG)
    scene = SimpleNamespace(tasks=(*variants, goal[7]))
    return SimpleNamespace(config=config, scene=scene, workdir=Workdir(tmp_path))


def test_swapped_instructions_differ_from_the_tasks(context):
    start = evaluate.eval_initial_states(0, context.config.tasks, CONFIG)
    words = [task.instruction for task in context.scene.tasks]
    swapped = phases.swap_instructions(start, dict(enumerate(words)))
    np.testing.assert_array_equal(swapped.task, [0, 1, 2, 0, 1, 2])
    for task, used in zip(np.asarray(swapped.task), np.asarray(swapped.instruction_id)):
        assert words[task] != words[used]


@pytest.mark.parametrize("chosen", [(2,), (0, 1)])
def test_one_instruction_cannot_be_swapped(context, capsys, chosen):
    context.config.tasks = chosen
    untouched: Any = None
    phases.run_evaluation(context, "swapped_instructions", state=untouched)
    found = context.workdir.result("swapped_instructions")
    assert found == {"skipped": "there is only one instruction"}
    assert "skipped: there is only one instruction" in capsys.readouterr().out


def test_task_names_are_unique_by_file(context):
    assert task_names(context.scene) == [
        "put the bowl on the plate (view_1)",
        "put the bowl on the plate (view_2)",
        "turn on the stove",
    ]
