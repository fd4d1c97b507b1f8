"""Tests of pipeline.demonstrations: who is recorded how often, datasets of others."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data_pipelines import rlds
from data_pipelines.lazy_images import LazyImages
from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline import demonstrations, run_context
from experiments.pipeline.workdir import Workdir
from omnivla_jax.core.types import Demonstration
from omnivla_jax.sim.libero import tasks
from tests.data_pipelines.readers.fixtures import make_fixtures

GOAL = tasks.suite("libero_goal")


def episode(instruction, *, side=16, length=3):
    rng = np.random.default_rng(0)
    return Demonstration(
        images=rng.integers(0, 255, (length, 2, side, side, 3), np.uint8),
        state=np.zeros((length, 8), np.float32),
        joint_state=np.zeros((length, 7), np.float32),
        action=np.zeros((length, 7), np.float32),
        instruction=instruction,
        task=3,
    )


@pytest.mark.parametrize(
    "episodes, tasks, kept",
    [
        (144, (1, 7, 8), {1: 48, 7: 48, 8: 48}),
        (5, (4, 2), {4: 3, 2: 2}),
        (4, (0,), {0: 4}),
    ],
)
def test_every_task_has_its_share(episodes, tasks, kept):
    assert demonstrations.episodes_per_task(episodes, tasks) == kept


def test_tasks_take_turns_across_batches():
    batch_tasks = demonstrations.batch_tasks
    batches = [batch_tasks((9, 5, 7), 2, attempt).tolist() for attempt in range(3)]
    assert batches == [[9, 5], [7, 9], [5, 7]]
    for attempt in range(3):  # as ever where they divide
        assert demonstrations.batch_tasks((1, 7), 4, attempt).tolist() == [1, 7, 1, 7]


def test_a_dataset_is_known_by_its_words():
    wanted = {7: GOAL.tasks[7], 8: GOAL.tasks[8]}
    given = [
        episode("Put the bowl  on the plate"),
        episode("turn on the stove"),
        episode("open the middle drawer of the cabinet"),
    ]
    kept = demonstrations.select_tasks(given, wanted, source="data")
    assert [(e.task, e.instruction) for e in kept] == [
        (8, "put the bowl on the plate"),
        (7, "turn on the stove"),
    ]
    with pytest.raises(ValueError, match="no demonstration of 'put the bowl on"):
        demonstrations.select_tasks(given[1:], wanted, source="data")
    every = demonstrations.select_tasks(given, wanted, source="data", keep_others=True)
    assert [e.instruction for e in every][2] == given[2].instruction
    assert len(every) == 3


@pytest.mark.parametrize("streaming", [False, True])
def test_a_dataset_takes_the_experts_place(tmp_path, capsys, streaming):
    """Also for a task without a script, and of pictures of another size."""
    data = tmp_path / "data"
    words = [GOAL.tasks[row].instruction for row in (1, 7, 8)]
    rlds.write(data, [episode(text, side=32) for text in words], name="mine")
    config = quickstart.get_config("debug")
    config.data.update(source="auto", path=str(data), streaming=streaming)
    scene: Any = SimpleNamespace(tasks=GOAL.tasks)
    (tmp_path / "run").mkdir()
    job: Any = SimpleNamespace(
        config=from_config(config), workdir=Workdir(tmp_path / "run"), scene=scene
    )
    for note in ("3 of", "there already"):
        episodes = demonstrations.demonstrations(job)()
        assert [e.instruction for e in episodes] == words
        assert episodes[0].images.shape == (3, 2, 16, 16, 3)
        assert isinstance(episodes[0].images, LazyImages) == streaming
        assert np.asarray(episodes[0].images).shape == (3, 2, 16, 16, 3)
        assert note in capsys.readouterr().out
    assert job.workdir.result("demonstrations")["episodes"] == 3
    rlds.write(data, [episode(text, side=32, length=4) for text in words], name="mine")
    with pytest.raises(ValueError, match="data has changed since .* 3 of 3.0. Put it"):
        demonstrations.demonstrations(job)()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["v21_images", "v30_av1"])
def test_a_lerobot_set_takes_the_experts_place(tmp_path, name, streaming):
    config = quickstart.get_config("debug")
    config.tasks = (1, 7)
    config.data.update(
        source="lerobot",
        path=str(make_fixtures.FOLDER / name),
        image_convention="openpi",
        streaming=streaming,
    )
    scene: Any = SimpleNamespace(tasks=GOAL.tasks)
    job: Any = SimpleNamespace(
        config=from_config(config), workdir=Workdir(tmp_path), scene=scene
    )
    found = demonstrations.demonstrations(job)()
    assert [e.task for e in found] == [1, 7]
    for demonstration, raw in zip(
        found, make_fixtures.raw_episodes(make_fixtures.FIXTURES[name])
    ):
        assert isinstance(demonstration.images, LazyImages) == streaming
        assert demonstration.images[0].shape == (2, 16, 16, 3)
        np.testing.assert_array_equal(demonstration.action, raw.action)


def test_without_a_skill_a_dataset_is_suggested(monkeypatch):
    settings = from_config(quickstart.get_config("debug"))
    monkeypatch.setattr("omnivla_jax.world.expert.table.find_skill", lambda task: None)
    with pytest.raises(ValueError, match="no skill for .*--config.data.path=FOLDER"):
        run_context.require_demonstrations(settings)
    given = dataclasses.replace(settings.data, source="auto", path=Path("data"))
    run_context.require_demonstrations(dataclasses.replace(settings, data=given))
