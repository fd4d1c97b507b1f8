"""Tests of omnivla_jax.train.checkpoints: round trip, damage, what is kept."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
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


@pytest.mark.parametrize("damage", ["truncate", "history", "structure"])
def test_an_unreadable_checkpoint_is_one_clear_line(tmp_path, damage):
    path, like = checkpoints.save(tmp_path, tree(), rows(7)), tree()
    if damage == "truncate":
        for file in (path / "tree").rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:5])
    elif damage == "history":
        (path / "history.json").write_text('[{"loss"')
    else:
        like = like.replace(params={"action": {"other": jnp.zeros(3)}})
    with pytest.raises(ValueError, match=f"(?s){path}.*delete that folder") as error:
        checkpoints.restore(path, like)
    assert "\n" not in str(error.value)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = checkpoints.save(tmp_path, tree(), rows(1))

    def full(*_):
        (tmp_path / ".step-00000002-partial").mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "_write", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(tmp_path, tree(), rows(2))
    assert checkpoints.latest(tmp_path) == path
    chex.assert_trees_all_equal(checkpoints.restore(path, tree()).tree, tree())
    monkeypatch.undo()
    checkpoints.save(tmp_path, tree(), rows(3))
    assert len(list(tmp_path.iterdir())) == 2, "the partial one is swept up"


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
