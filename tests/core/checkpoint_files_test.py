"""Tests of core.checkpoint_files: which checkpoint a path means, one-line errors."""

import shutil

import jax
import jax.numpy as jnp
import pytest

from omnivla_jax.core import checkpoint_files
from omnivla_jax.train import checkpoints


def params(value):
    return {"action": {"w": jnp.full((3, 2), value)}}


def rows(count):
    return [{"update": float(index)} for index in range(1, count + 1)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder: two steps of a stage, of which the newer holds a 2."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    for step in (1, 2):
        checkpoints.save(folder / "checkpoints" / "online", params(step), rows(step))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "checkpoints",
        "checkpoints/online",
        "checkpoints/online/step-00000002",
        "checkpoints/online/step-00000002/params",
        "checkpoints/online/step-00000002/history",
    ],
)
def test_every_run_folder_means_its_newest_step(run, inside):
    step = run / "checkpoints" / "online" / "step-00000002"
    assert checkpoint_files.find(run / inside) == step
    restored = checkpoints.restore(run / inside, params(0))
    assert restored.tree["action"]["w"][0, 0] == 2
    assert len(restored.history) == 2 == len(checkpoints.history(run / inside))
    assert checkpoint_files.shapes(run / inside)["action"]["w"].shape == (3, 2)


def test_a_copied_step_may_have_another_name(run, tmp_path):
    copy = tmp_path / "best"
    shutil.copytree(run / "checkpoints" / "online" / "step-00000001", copy)
    assert checkpoints.restore(copy, params(0)).tree["action"]["w"][0, 0] == 1


def test_other_folders_are_named_for_what_they_are(run, tmp_path):
    shutil.copytree(run, tmp_path / "two")
    stages = tmp_path / "two" / "checkpoints"
    shutil.copytree(stages / "online", stages / "online_best")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    (tmp_path / "torn" / "step-00000002.orbax-checkpoint-tmp").mkdir(parents=True)
    for name, words in {
        "two": "several stages: name one, .*online, .*online_best",
        "two/checkpoints": "several stages: name one",
        "two/config.json": "is a file",
        "empty": "holds no checkpoint: it is empty",
        "mine": "holds no checkpoint: it holds notes.txt",
        "torn": "nothing but a save that was interrupted",
        "missing": "does not exist",
    }.items():
        for read in (checkpoint_files.shapes, checkpoints.history):
            with pytest.raises(ValueError, match=words) as error:
                read(tmp_path / name)
            assert "delete" not in str(error.value) and "\n" not in str(error.value)


def test_the_older_layout_is_refused_with_its_version(run, tmp_path):
    step = tmp_path / "step-00000003"
    shutil.copytree(run / "checkpoints" / "online" / "step-00000001", step)
    (step / "params").rename(step / "tree")
    for read in (lambda path: checkpoints.restore(path, params(0)), checkpoints.shapes):
        with pytest.raises(ValueError, match="git checkout [0-9a-f]{7}") as error:
            read(tmp_path)
        assert str(step) in str(error.value) and "\n" not in str(error.value)
        assert "delete" not in str(error.value)


def test_orbax_sees_only_folders_with_items(tmp_path):
    names = checkpoint_files.StepNameFormat()
    for name in ("step-00000000", "step-1", "my-step-00000002"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000012" / "params").mkdir(parents=True)
    assert [found.step for found in names.find_all(tmp_path)] == [12]
    assert names.find_step(tmp_path, 12).path.name == names.build_name(12)
    with pytest.raises(ValueError, match="no checkpoint of step 0"):
        names.find_step(tmp_path, 0)


def test_a_leaf_keeps_its_dtype(tmp_path):
    tree = {"a": jnp.arange(3, dtype=jnp.bfloat16), "b": jnp.arange(2, dtype=jnp.uint8)}
    path = checkpoints.save(tmp_path, tree, [])
    like = jax.eval_shape(lambda: tree)
    assert checkpoint_files.shapes(path) == like
    restored = checkpoint_files.restore_arrays(path, "params", like)
    assert jax.tree.map(lambda leaf: leaf.dtype, restored) == jax.tree.map(
        lambda leaf: leaf.dtype, tree
    )
