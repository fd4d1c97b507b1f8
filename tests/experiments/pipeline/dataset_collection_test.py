"""Tests of pipeline.dataset_collection: resumed or not, a plan gives the same."""

import dataclasses

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines import rlds
from experiments.pipeline import dataset_collection
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.resets import recorded_states
from omnivla_jax.world import proprioception

PLAN = dataset_collection.CollectionConfig(
    suite="libero_goal",
    tasks=(7, 8),
    episodes=2,
    batch_size=2,
    image_size=8,
    noise=0.02,
    seed=5,
    engine="mujoco",
    preset="fast",
    task_files={},
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "demos"
    assert dataset_collection.collect(PLAN, directory, resume=False) == 4
    return directory


@pytest.mark.slow
def test_every_task_has_its_number_of_episodes(whole):
    episodes = rlds.read(whole)
    assert [episode.task for episode in episodes] == [7, 7, 8, 8]
    assert episodes[0].instruction == "turn on the stove"
    assert not list(whole.parent.glob(".*"))
    starts = [episode.joint_state[0] for episode in episodes]
    assert not np.allclose(starts[0], starts[1])  # each from its own initial state


@pytest.mark.slow
def test_diverged_episodes_are_counted_and_left_out(tmp_path, monkeypatch, capsys):
    batch, calls = dataset_collection.TaskRecorder.record_batch, []

    def broken(recorder, task, attempt):
        calls.append(attempt)
        runner = recorder.runner

        def lose_the_first(rows, key):
            rollout = runner.reset(rows, key)
            qvel = rollout.state.physics.qvel.at[0].set(np.nan)
            physics = dataclasses.replace(rollout.state.physics, qvel=qvel)
            return rollout._replace(
                state=dataclasses.replace(rollout.state, physics=physics)
            )

        if len(calls) == 1:
            recorder.runner = runner._replace(reset=lose_the_first)
        episodes = batch(recorder, task, attempt)
        recorder.runner = runner
        return episodes

    monkeypatch.setattr(dataset_collection.TaskRecorder, "record_batch", broken)
    plan = dataclasses.replace(PLAN, tasks=(7,))
    assert dataset_collection.collect(plan, tmp_path / "demos", resume=False) == 2
    assert calls == [0, 1], calls
    assert "diverged 1" in capsys.readouterr().out


@pytest.mark.slow
def test_an_interrupted_collection_resumes_to_the_same(whole, tmp_path, monkeypatch):
    calls, batch = [], dataset_collection.TaskRecorder.record_batch

    def interrupted(recorder, task, attempt):
        calls.append((task, attempt))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return batch(recorder, task, attempt)

    monkeypatch.setattr(dataset_collection.TaskRecorder, "record_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dataset_collection.collect(PLAN, tmp_path / "demos", resume=False)
    with pytest.raises(FileExistsError, match="--resume"):
        dataset_collection.collect(PLAN, tmp_path / "demos", resume=False)
    other = dataclasses.replace(PLAN, seed=6)
    with pytest.raises(ValueError, match="other flags"):
        dataset_collection.collect(other, tmp_path / "demos", resume=True)
    dataset_collection.collect(PLAN, tmp_path / "demos", resume=True)
    assert calls.count(calls[0]) == 1  # the finished part was not played again
    for first, second in zip(
        rlds.read(whole), rlds.read(tmp_path / "demos"), strict=True
    ):
        for name in ("images", "state", "joint_state", "action"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.slow
def test_hdf5_files_hold_states_that_restore(tmp_path):
    plan = dataclasses.replace(PLAN, tasks=(7,))
    layout = "hdf5_obs_before_action"
    dataset_collection.collect(plan, tmp_path, resume=False, layout=layout)
    scene = scenes.make("libero_goal", tasks=(7,), engine="mujoco")
    with h5py.File(tmp_path / "libero_goal/turn_on_the_stove_demo.hdf5") as opened:
        for group in opened["data"].values():
            rows, length = group["states"][()], len(group["actions"])
            assert len(rows) == length
            np.testing.assert_allclose(np.diff(rows[:, 0]), 0.05)
            qpos, qvel = recorded_states.split_rows(scene, 7, rows)
            task = jnp.full(length, 7, jnp.int32)
            restored = env.restore(scene, task, jnp.asarray(qpos), jnp.asarray(qvel))
            state = proprioception.policy_state(scene, restored)
            fingers, joints = group["obs/gripper_states"], group["obs/joint_states"]
            np.testing.assert_allclose(state[:, 6:], fingers, atol=1e-6)
            np.testing.assert_allclose(restored.physics.qpos[:, :7], joints, atol=1e-6)
            # As in LIBERO, an observed pose is that of the substep before.
            np.testing.assert_allclose(state[:, :6], group["obs/ee_states"], atol=0.02)


@pytest.mark.slow
def test_a_finished_collection_is_not_repeated(whole, monkeypatch, capsys):
    monkeypatch.setattr(dataset_collection, "TaskRecorder", None)  # nothing is played
    assert dataset_collection.collect(PLAN, whole, resume=True) == 4
    assert "demos is finished: nothing to resume" in capsys.readouterr().out
    more = dataclasses.replace(PLAN, episodes=3)
    with pytest.raises(ValueError, match="4 episodes where 6 .*leave out --resume"):
        dataset_collection.collect(more, whole, resume=True)
    assert rlds.count(whole) == 4 and not list(whole.parent.glob(".*"))


def test_files_of_others_are_found_first(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_collection, "TaskRecorder", None)  # nothing is played
    theirs = tmp_path / "out" / "libero_goal" / "1.0.0" / "notes.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("of mine")
    with pytest.raises(FileExistsError, match="1.0.0 holds files that this program"):
        dataset_collection.collect(PLAN, tmp_path / "out", resume=False)
    parts = tmp_path / ".other.parts" / "notes.txt"
    parts.parent.mkdir()
    parts.write_text("of mine")
    with pytest.raises(FileExistsError, match="holds files of no collection"):
        dataset_collection.collect(PLAN, tmp_path / "other", resume=False)
    assert theirs.exists() and parts.exists()


def test_messages_never_ask_to_delete(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_collection, "TaskRecorder", None)
    with pytest.raises(TypeError):  # begun, and interrupted
        dataset_collection.collect(PLAN, tmp_path / "demos", resume=False)
    with pytest.raises(FileExistsError, match="--resume") as error:
        dataset_collection.collect(PLAN, tmp_path / "demos", resume=False)
    assert "delete" not in str(error.value)


@pytest.mark.parametrize("row", [99, -1])
def test_an_unknown_task_leaves_nothing(tmp_path, row):
    plan = dataclasses.replace(PLAN, tasks=(7, row))
    with pytest.raises(ValueError, match=rf"Unknown tasks \[{row}\] .*0 to 9"):
        dataset_collection.collect(plan, tmp_path / "demos", resume=False)
    assert not list(tmp_path.iterdir())


def test_too_few_successes_end_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(
        dataset_collection.TaskRecorder, "record_batch", lambda *arguments: []
    )
    with pytest.raises(ValueError, match="2 episodes short of 2 .*turn on the stove"):
        dataset_collection.collect(PLAN, tmp_path / "demos", resume=False)


def unscripted(tmp_path):
    """A file of a user's whose goal nobody has a script for."""
    text = files.suite_files("libero_goal").paths[8].read_text()
    path = tmp_path / "stack_it.bddl"
    path.write_text(text.replace("(On akita_black_bowl_1 plate_1)", "(Up plate_1)"))
    return str(path)


def test_a_task_without_a_skill_leaves_nothing(tmp_path):
    plan = dataclasses.replace(PLAN, suite=unscripted(tmp_path), tasks=(0,))
    words = r"\(Up plate_1\): record with your own policy or give a dataset\.$"
    with pytest.raises(ValueError, match=words):
        dataset_collection.collect(plan, tmp_path / "out" / "demos", resume=False)
    assert not (tmp_path / "out").exists()


def test_no_task_is_collected_twice(tmp_path):
    plan = dataclasses.replace(PLAN, tasks=(7, 7))
    with pytest.raises(ValueError, match=r"Repeated tasks \[7, 7\]"):
        dataset_collection.collect(plan, tmp_path / "demos", resume=False)
