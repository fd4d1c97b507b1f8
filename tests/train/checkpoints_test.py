"""Tests of omnivla_jax.train.checkpoints: round trip, overlap, damage, what is kept."""

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from omnivla_jax.core import checkpoint_files
from omnivla_jax.policy import normalize
from omnivla_jax.train import checkpoints, state
from omnivla_jax.train.state import OptimizerConfig

ROOT = Path(__file__).parents[2]


def tree(value=1.0):
    params = {
        "action": {"w": jnp.full((3, 2), value), "b": jnp.arange(2.0)},
        "reasoning": {"w": jnp.full((4,), value)},
    }
    trained = {
        name: jax.tree.map(lambda _: name == "action", part)
        for name, part in params.items()
    }
    optimizer = state.make_optimizer(OptimizerConfig(1e-3), trained)
    normalizer = normalize.identity_normalizer(8, 7)
    return state.create(params, normalizer, optimizer, seed=4)


def rows(count):
    return [{"update": float(index)} for index in range(1, count + 1)]


def test_round_trip_is_exact_and_onto_device(tmp_path):
    saved, history = tree(1 / 3), [{"update": 1.0, "loss": 0.1}]
    path = checkpoints.save(tmp_path, saved, history)
    assert checkpoints.latest(tmp_path) == path
    restored = checkpoints.restore(path, tree(0.0))
    chex.assert_trees_all_equal(restored.tree, saved)
    chex.assert_trees_all_equal_structs(restored.tree, saved)
    assert restored.history == history
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(restored.tree))


def test_the_two_newest_stay(tmp_path):
    assert checkpoints.latest(tmp_path) is None
    for step in (1, 2, 10):
        checkpoints.save(tmp_path, tree(step), rows(step))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-00000002", "step-00000010"]
    newest = checkpoints.latest(tmp_path)
    assert newest is not None
    restored = checkpoints.restore(newest, tree())
    assert restored.tree.params["action"]["w"][0, 0] == 10


def test_an_existing_step_is_refused_and_stays(tmp_path):
    path = checkpoints.save(tmp_path, tree(1.0), rows(5))
    with pytest.raises(ValueError, match=f"{path} exists already"):
        checkpoints.save(tmp_path, tree(2.0), rows(5))
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]
    assert checkpoints.restore(path, tree()).tree.params["action"]["w"][0, 0] == 1


@pytest.mark.parametrize("damage", ["truncate", "history", "no state", "no params"])
def test_an_unreadable_checkpoint_is_one_clear_line(tmp_path, damage):
    path, like = checkpoints.save(tmp_path, tree(), rows(7)), tree()
    if damage == "truncate":
        for file in (path / "params").rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:5])
    elif damage == "history":
        (path / "history" / "metadata").write_text('[{"loss"')
    else:
        item = {"no state": "train_state", "no params": "params"}[damage]
        (path / item).rename(path / "elsewhere")
    with pytest.raises(ValueError, match=f"(?s){path}.*move that folder away") as error:
        checkpoints.restore(path, like)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "params, words",
    [
        ({"action": {"other": jnp.zeros(3)}}, r"params\.action\.b"),
        ({**tree().params, "reasoning": {"w": jnp.zeros(5)}}, r"shape: \(5,\).*\(4,\)"),
    ],
)
def test_foreign_checkpoints_are_never_deleted(tmp_path, params, words):
    path, like = checkpoints.save(tmp_path, tree(), rows(7)), tree()
    with pytest.raises(ValueError, match=f"{path} holds other.*{words}") as error:
        checkpoints.restore(path, like.replace(params=params))
    assert "delete" not in str(error.value) and "\n" not in str(error.value)


@pytest.fixture
def background(monkeypatch):
    """Lets a test decide when and how the background writes the history."""

    class Background:
        gate = threading.Event()
        error: OSError | None = None

    async def write(handler, content, folder):
        while not Background.gate.is_set():
            time.sleep(0.01)
        if Background.error is not None:
            raise Background.error
        await original(handler, content, folder)

    original = ocp.JsonCheckpointHandler._save_fn
    monkeypatch.setattr(ocp.JsonCheckpointHandler, "_save_fn", write)
    yield Background
    Background.gate.set()


def test_saving_overlaps_with_updates_that_overwrite_the_state(tmp_path, background):
    step = jax.jit(
        lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnames="state"
    )
    state = {"w": jnp.zeros((300, 300))}
    with checkpoints.writer(tmp_path) as writer:
        for update in (1, 2, 3):
            writer.wait()
            background.gate.clear()
            state = step(state=state)
            writer.save(state, rows(update))
            for _ in range(3):
                state = step(state=state)
            newest = checkpoints.latest(tmp_path)
            assert newest is None or newest.name != f"step-{update:08d}"
            jax.block_until_ready(state)
            background.gate.set()
    found = {}
    for path in sorted(tmp_path.iterdir()):
        restored = checkpoints.restore(path, state).tree["w"]
        found[path.name] = np.unique(restored).tolist()
    assert found == {"step-00000002": [5.0], "step-00000003": [9.0]}


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize("heard", ["check", "save", "end"])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, background, caplog, heard):
    background.gate.set()
    path = checkpoints.save(tmp_path, tree(), rows(1))
    background.error = FULL
    with pytest.raises(OSError, match="No space"):
        with checkpoints.writer(tmp_path) as writer:
            writer.save(tree(2.0), rows(2))
            while heard == "check":
                writer.check()
            if heard == "save":
                writer.save(tree(3.0), rows(3))
                pytest.fail("the failure of the save before was not raised")
    assert checkpoints.latest(tmp_path) == path
    chex.assert_trees_all_equal(checkpoints.restore(path, tree()).tree, tree())
    assert not caplog.records, "orbax has nothing to say on the terminal"
    background.error = None
    # Threads of the failed save, which die with a process, may still write in this one.
    while [p.name for p in sorted(tmp_path.iterdir())] != [path.name, "step-00000003"]:
        with contextlib.suppress(OSError), checkpoints.writer(tmp_path) as writer:
            if 3 not in writer.steps():
                writer.save(tree(), rows(3))


def test_leaving_completes_the_last_save(tmp_path, background):
    timer = threading.Timer(0.3, background.gate.set)
    with contextlib.suppress(FloatingPointError), checkpoints.writer(tmp_path) as kept:
        kept.save(tree(3.0), rows(4))
        timer.start()
        raise FloatingPointError("loss is nan")
    newest = checkpoints.latest(tmp_path)
    assert newest is not None and newest.name == "step-00000004"
    background.error = FULL
    with pytest.raises(FloatingPointError), checkpoints.writer(tmp_path) as writer:
        writer.save(tree(4.0), rows(5))
        raise FloatingPointError("loss is nan")
    assert checkpoints.latest(tmp_path) == newest


def test_killed_saves_are_swept_up(tmp_path):
    path = checkpoints.save(tmp_path, tree(), rows(1))
    (tmp_path / "step-00000002.orbax-checkpoint-tmp" / "tree").mkdir(parents=True)
    assert checkpoints.latest(tmp_path) == path
    third = checkpoints.save(tmp_path, tree(), rows(3))
    assert sorted(tmp_path.iterdir()) == [path, third]


def test_what_others_put_there_stays(tmp_path):
    theirs = [tmp_path / name for name in ("my-step-notes", "step-00000000", "step-1")]
    for folder in theirs:
        folder.mkdir()
        (folder / "notes.txt").write_text("of mine")
    with checkpoints.writer(tmp_path, max_to_keep=1) as writer:
        for step in (1, 2, 3):
            last = writer.save(tree(), rows(step))
    assert sorted(tmp_path.iterdir()) == sorted([*theirs, last])
    assert all((folder / "notes.txt").exists() for folder in theirs)


def test_the_best_may_be_kept(tmp_path):
    with checkpoints.writer(tmp_path, max_to_keep=1, best_metric="success") as writer:
        assert writer.best_metrics() is None
        for step, success in ((20, 0.5), (40, 0.75), (60, 0.25)):
            writer.save(tree(step), [], step=step, metrics={"success": success})
            writer.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000040"]
    assert checkpoints.history(tmp_path) == []
    with checkpoints.writer(tmp_path, max_to_keep=1, best_metric="success") as writer:
        assert writer.best_metrics() == {"success": 0.75} and writer.steps() == [40]


@pytest.mark.parametrize("averaged", [False, True])
def test_what_inference_needs_lies_apart(tmp_path, averaged):
    """The evaluated parameters are read without the rest; nothing is stored twice."""
    saved = tree(3.0).replace(ema_params=tree(5.0).params if averaged else None)
    policy = {"horizon": 4}
    path = checkpoints.save(tmp_path, saved, rows(1), policy=policy)
    expected = saved.ema_params if averaged else saved.params
    shutil.rmtree(path / "train_state")
    restored = checkpoints.restore(path, jax.eval_shape(lambda: expected))
    chex.assert_trees_all_equal(restored.tree, expected)
    assert checkpoint_files.restore_json(path, "policy") == policy
    assert set(checkpoint_files.shapes(path, "normalizer")) == {"state", "action"}


KILLED = """
import os, sys, time, threading
import jax.numpy as jnp
from omnivla_jax.train import checkpoints
with checkpoints.writer(sys.argv[1]) as writer:
    for step in range(1, 1000):
        tree = {str(n): jnp.full((64, 64), float(step)) for n in range(20)}
        writer.save(tree, [{"update": float(n)} for n in range(step)])
        print(step, flush=True)
"""


@pytest.mark.slow
def test_a_kill_in_a_save_loses_nothing(tmp_path):
    """Killed outright at a random moment, the last complete step is whole."""
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(4):
            assert process.stdout.readline()
        time.sleep(np.random.default_rng().uniform(0.0, 0.1))
        process.kill()
    newest = checkpoints.latest(tmp_path)
    assert newest is not None
    step = int(newest.name.removeprefix("step-"))
    assert step >= 3
    like = {str(n): jnp.zeros((64, 64)) for n in range(20)}
    restored = checkpoints.restore(newest, like)
    assert len(restored.history) == step
    assert all((leaf == step).all() for leaf in restored.tree.values())
    with checkpoints.writer(tmp_path) as writer:
        writer.save(restored.tree, rows(2000))
    assert len(list(tmp_path.iterdir())) == checkpoints.MAX_TO_KEEP
