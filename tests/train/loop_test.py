"""Tests of omnivla_jax.train.loop and metrics: order, resuming, bad numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import exits
from omnivla_jax.train import csv_log, loop


@jax.jit
def step(state):
    state = state + 1
    return state, {"loss": 1.0 / state, "explode": jnp.log(5.5 - state)}


def run(steps, state=0.0, history=(), **extra):
    settings: dict[str, Any] = {"save": lambda *_: None, "save_every": 2} | extra
    return loop.run(step, jnp.float32(state), steps=steps, history=history, **settings)


def test_every_step_is_reported_once_and_in_order():
    saved: list = []
    seen: list = []
    state, history = run(
        5, save=lambda s, h: saved.append((float(s), len(h))), report=seen.append
    )
    assert float(state) == 5 and seen == history
    assert [row["update"] for row in history] == [1, 2, 3, 4, 5]
    assert saved == [(2.0, 2), (4.0, 4), (5.0, 5)]
    np.testing.assert_allclose([row["loss"] for row in history], 1 / np.arange(1, 6))


def test_resuming_gives_the_same_history():
    _, whole = run(5)
    halfway, history = run(2)
    state, resumed = run(5, halfway, history)
    assert resumed == whole and float(state) == 5
    assert run(5, state, resumed)[1] == whole, "a finished stage does nothing"


def test_dispatch_comes_before_reading_metrics():
    events = []

    def spy(state):
        events.append("dispatch")
        return step(state)

    loop.run(
        spy,
        jnp.float32(0),
        steps=3,
        save=lambda *_: None,
        save_every=10,
        report=lambda row: events.append("read"),
    )
    assert events == ["dispatch", "dispatch", "read", "dispatch", "read", "read"]


def test_evaluation_comes_between_the_update_and_its_checkpoint():
    events: list = []
    loop.run(
        lambda state: (state + 1, {"loss": state}),
        jnp.float32(2),
        steps=7,
        history=[{"update": 1.0}, {"update": 2.0}],
        save=lambda s, h: events.append(("save", float(s), len(h))),
        save_every=4,
        evaluate=lambda s, h: events.append(("evaluate", float(s), len(h))),
        evaluate_every=2,
        report=lambda row: events.append(row["update"]),
    )
    assert events == [
        3,
        4,
        ("evaluate", 4, 4),
        ("save", 4, 4),
        5,
        6,
        ("evaluate", 6, 6),
        7,
        ("save", 7, 7),
    ]


def test_a_request_to_stop_saves_and_ends():
    saved: list = []
    answers = iter([False, False, True])
    with pytest.raises(exits.Preempted, match="update 3 is saved") as error:
        run(
            9,
            save=lambda s, h: saved.append((float(s), len(h))),
            stop_requested=lambda: next(answers),
        )
    assert error.value.step == 3 and saved == [(2.0, 2), (3.0, 3)]


def test_bad_numbers_are_named_and_not_saved():
    saved = []
    with pytest.raises(FloatingPointError, match="explode is nan at update 6") as error:
        run(9, save=lambda s, h: saved.append(float(s)))
    assert saved == [2.0, 4.0]
    assert "The checkpoint of update 4 is kept." in str(error.value)

    def bad(state):
        return state, {"kl": state / 0, "loss": jnp.log(-state), "success": state}

    with pytest.raises(FloatingPointError) as error:
        loop.run(bad, jnp.float32(1), steps=3, save=lambda *_: None, save_every=1)
    message = "loss is nan, kl is inf at update 1: lower"
    assert str(error.value).startswith(message) and "None was kept" in str(error.value)


def test_the_offending_term_comes_first():
    """A critic that overflows makes every metric of the policy bad one update later."""
    names = ("grad_norm", "grad_norm_action", "grad_norm_value", "kl", "value_loss")

    def bad(state):
        return state, {name: state / 0 for name in names} | {"surrogate": state}

    with pytest.raises(FloatingPointError) as error:
        loop.run(bad, jnp.float32(1), steps=3, save=lambda *_: None, save_every=1)
    assert str(error.value).startswith("value_loss is inf, grad_norm is inf, ")
    assert "and 2 others at update 1" in str(error.value)


def test_bad_parameters_are_not_saved():
    def overflow(state):
        grown = {name: value * 1e30 for name, value in state["params"].items()}
        return {"params": grown, "step": state["step"] + 1}, {"loss": jnp.float32(1)}

    saved: list[Any] = []
    start = {"params": {"w": jnp.ones(3), "b": jnp.zeros(3)}, "step": jnp.int32(0)}
    with pytest.raises(FloatingPointError) as error:
        loop.run(
            overflow,
            start,
            steps=9,
            save_every=1,
            save=lambda *state: saved.append(state),
        )
    assert "params.w is not finite after update 2:" in str(error.value)
    assert len(saved) == 1 and "The checkpoint of update 1 is kept" in str(error.value)


def test_csv_round_trip(tmp_path):
    path = tmp_path / "history.csv"
    rows = [{"update": 1.0, "loss": 1 / 3}, {"update": 2.0, "loss": 1e-30}]
    assert csv_log.load(path) == []
    for row in rows:
        csv_log.append(path, row)
    assert csv_log.load(path) == rows
    with pytest.raises(ValueError, match="columns"):
        csv_log.append(path, {"other": 1.0})
    with path.open("a") as file:
        file.write("3.0")  # an interruption in the middle of a row
    assert csv_log.load(path) == rows
    csv_log.write(path, rows[:1])
    assert csv_log.load(path) == rows[:1]
    assert [p.name for p in tmp_path.iterdir()] == ["history.csv"]
