"""Tests of omnivla_jax.train.checkpoints: round trip, overlap, damage, what is kept."""

import contextlib
import shutil
import threading
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from omnivla_jax.policy import normalize
from omnivla_jax.train import checkpoints, state
from omnivla_jax.train.state import OptimizerConfig


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
    normalizer = normalize.Normalizer(normalize.identity(8), normalize.identity(7))
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


def test_saving_a_step_again_replaces_it(tmp_path):
    for value in (1.0, 2.0):
        path = checkpoints.save(tmp_path, tree(value), rows(5))
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]
    assert checkpoints.restore(path, tree()).tree.params["action"]["w"][0, 0] == 2


@pytest.mark.parametrize("damage", ["truncate", "history", "no tree"])
def test_an_unreadable_checkpoint_is_one_clear_line(tmp_path, damage):
    path, like = checkpoints.save(tmp_path, tree(), rows(7)), tree()
    if damage == "truncate":
        for file in (path / "tree").rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:5])
    elif damage == "history":
        (path / "history" / "history.json").write_text('[{"loss"')
    else:
        (path / "tree").rename(path / "forest")
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
def test_a_whole_checkpoint_of_something_else_is_not_to_be_deleted(
    tmp_path, params, words
):
    path, like = checkpoints.save(tmp_path, tree(), rows(7)), tree()
    with pytest.raises(ValueError, match=f"{path} holds other.*{words}") as error:
        checkpoints.restore(path, like.replace(params=params))
    assert "delete" not in str(error.value) and "\n" not in str(error.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder: two steps of a stage, of which the newer holds a 2."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    for step in (1, 2):
        checkpoints.save(folder / "checkpoints" / "online", tree(step), rows(step))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "checkpoints",
        "checkpoints/online",
        "checkpoints/online/step-00000002",
        "checkpoints/online/step-00000002/tree",
        "checkpoints/online/step-00000002/history",
    ],
)
def test_every_folder_of_a_run_means_its_newest_step(run, inside):
    step = run / "checkpoints" / "online" / "step-00000002"
    assert checkpoints.find(run / inside) == step
    restored = checkpoints.restore(run / inside, tree())
    assert restored.tree.params["action"]["w"][0, 0] == 2
    assert len(restored.history) == 2 == len(checkpoints.history(run / inside))
    assert checkpoints.shapes(run / inside)["params"]["action"]["w"].shape == (3, 2)


def test_a_copied_step_may_have_another_name(run, tmp_path):
    copy = tmp_path / "best"
    shutil.copytree(run / "checkpoints" / "online" / "step-00000001", copy)
    assert checkpoints.restore(copy, tree()).tree.params["action"]["w"][0, 0] == 1


def test_what_is_no_checkpoint_is_named_for_what_it_is(run, tmp_path):
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
        for read in (checkpoints.shapes, checkpoints.history):
            with pytest.raises(ValueError, match=words) as error:
                read(tmp_path / name)
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
    # A thread of orbax's may still write: what it leaves goes with the next save.
    assert checkpoints.latest(tmp_path) == path
    chex.assert_trees_all_equal(checkpoints.restore(path, tree()).tree, tree())
    assert not caplog.records, "orbax has nothing to say on the terminal"
    background.error = None
    checkpoints.save(tmp_path, tree(), rows(3))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failed_replacement_puts_the_old_one_back(tmp_path, background):
    background.gate.set()
    path = checkpoints.save(tmp_path, tree(1.0), rows(5))
    background.error = FULL
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(tmp_path, tree(2.0), rows(5))
    assert checkpoints.latest(tmp_path) == path
    chex.assert_trees_all_equal(checkpoints.restore(path, tree()).tree, tree(1.0))


def test_leaving_completes_the_last_save_whatever_ended_the_run(tmp_path, background):
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


def test_what_a_killed_save_left_is_no_checkpoint_and_is_swept_up(tmp_path):
    path = checkpoints.save(tmp_path, tree(), rows(1))
    (tmp_path / "step-00000002.orbax-checkpoint-tmp" / "tree").mkdir(parents=True)
    (tmp_path / ".replaced-step-00000001").mkdir()
    assert checkpoints.latest(tmp_path) == path
    third = checkpoints.save(tmp_path, tree(), rows(3))
    assert sorted(tmp_path.iterdir()) == [path, third]


def test_what_others_put_there_stays(tmp_path):
    theirs = [tmp_path / name for name in ("my-step-notes", "step-00000000", "step-1")]
    for folder in theirs:
        folder.mkdir()
        (folder / "notes.txt").write_text("of mine")
    with checkpoints.writer(tmp_path, keep=1) as writer:
        for step in (1, 2, 3):
            last = writer.save(tree(), rows(step))
    assert sorted(tmp_path.iterdir()) == sorted([*theirs, last])
    assert all((folder / "notes.txt").exists() for folder in theirs)


def test_one_may_be_kept_and_named_apart_from_its_history(tmp_path):
    with checkpoints.writer(tmp_path, keep=1) as writer:
        for step in (20, 40):
            writer.save(tree(), [{"success": step / 100}], step=step)
    newest = checkpoints.latest(tmp_path)
    assert newest is not None and list(tmp_path.iterdir()) == [newest]
    assert newest.name == "step-00000040"
    assert checkpoints.history(newest) == [{"success": 0.4}]


def test_frozen_parameters_have_no_state_and_stay_bit_for_bit():
    params = {"a": jnp.array([-0.0, 1.0]), "b": jnp.ones(2)}
    trained = {"a": False, "b": True}
    optimizer = state.make_optimizer(OptimizerConfig(1e-2, warmup_steps=2), trained)
    opt_state = optimizer.init(params)
    assert sum(leaf.ndim for leaf in jax.tree.leaves(opt_state)) == 2  # mu and nu of b
    updates, _ = optimizer.update(params, opt_state, params)
    after = state.apply(params, updates, trained)
    assert np.signbit(after["a"][0]) and (after["b"] < 1).all()


def test_the_learning_rate_rises_then_falls():
    config = OptimizerConfig(1.0, warmup_steps=4, decay_steps=12, final_fraction=0.1)
    rate = state.schedule(config)
    values = [float(rate(step)) for step in range(13)]
    np.testing.assert_allclose(values[:5], [0.25, 0.4375, 0.625, 0.8125, 1.0])
    np.testing.assert_allclose(values[12], 0.1, atol=1e-6)
    with pytest.raises(ValueError, match="decay_steps=4"):
        OptimizerConfig(1.0, warmup_steps=4, decay_steps=4)
