"""Tests of pipeline.training_stage on a toy: interrupted, resumed, gone bad."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from experiments.pipeline import best_checkpoint, training_stage
from experiments.pipeline.workdir import Workdir
from omnivla_jax.core import exits
from omnivla_jax.train import checkpoints, csv_log

START: Any = {"w": jnp.float32(0.1), "step": jnp.int32(0)}


@jax.jit
def advance(state):
    after = {"w": 1.1 * state["w"] + 0.01, "step": state["step"] + 1}
    return after, {"loss": 1 / after["w"], "gap": jnp.log(6.5 - after["step"])}


@pytest.fixture
def evaluated(monkeypatch):
    """Updates that were evaluated; the success is a function of the state."""
    seen: list[int] = []

    def success(context, state, *, update):
        seen.append(update)
        return {"update": update, "success": float(jnp.sin(9 * state["w"]))}

    monkeypatch.setattr(best_checkpoint, "_validation_success", success)
    return seen


def run(path, *, calls, step=advance, evaluate_every=2):
    path.mkdir(exist_ok=True)
    config = SimpleNamespace(save_every=3)
    context: Any = SimpleNamespace(
        workdir=Workdir(path), config=config, evaluate_fn=list
    )
    return training_stage.run(
        context,
        training_stage.TrainingStage(
            name="toy",
            title="Toy",
            unit="call",
            num_calls=calls,
            abstract_state=START,
            init=lambda: (START, step),
            displayed_metrics=("loss",),
            evaluate_every=evaluate_every,
        ),
    )


def dying(at):
    def step(state):
        if int(state["step"]) == at:
            raise KeyboardInterrupt
        return advance(state)

    return step


@pytest.mark.parametrize("at", range(1, 6))
def test_an_interrupted_stage_ends_as_an_uninterrupted_one(tmp_path, evaluated, at):
    whole = run(tmp_path / "whole", calls=6)
    assert evaluated == [2, 4, 6]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "again", calls=6, step=dying(at))
    again = run(tmp_path / "again", calls=6)
    assert float(again["w"]) == float(whole["w"])
    folders = [Workdir(tmp_path / name) for name in ("whole", "again")]
    for name in ("toy", "toy_validation"):
        rows = [csv_log.load(folder.metrics_file(name)) for folder in folders]
        assert rows[0] == rows[1] and rows[0]
    best = [checkpoints.latest(folder.checkpoints("toy_best")) for folder in folders]
    assert best[0] and best[1] and best[0].name == best[1].name
    assert len(list(folders[1].checkpoints("toy").iterdir())) == checkpoints.MAX_TO_KEEP


def test_sigterm_ends_a_stage_after_a_saved_step(tmp_path, evaluated):
    def signalled(state):
        if int(state["step"]) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(state)

    before = signal.getsignal(signal.SIGTERM)
    whole = run(tmp_path / "whole", calls=6)
    with pytest.raises(exits.Preempted, match="update 4"):
        run(tmp_path / "again", calls=6, step=signalled)
    newest = checkpoints.latest(Workdir(tmp_path / "again").checkpoints("toy"))
    assert newest is not None and newest.name == "step-00000004"
    assert signal.getsignal(signal.SIGTERM) is before
    again = run(tmp_path / "again", calls=6)
    assert float(again["w"]) == float(whole["w"])


def test_a_finished_stage_is_only_read(tmp_path, evaluated):
    first = run(tmp_path, calls=3)
    assert float(run(tmp_path, calls=3, step=dying(0))["w"]) == float(first["w"])


def test_without_validation_there_is_no_best(tmp_path, evaluated):
    run(tmp_path, calls=3, evaluate_every=0)
    assert not evaluated and not Workdir(tmp_path).checkpoints("toy_best").exists()
    assert not Workdir(tmp_path).metrics_file("toy_validation").exists()


def test_a_diverged_stage_keeps_its_last_checkpoint(tmp_path, evaluated):
    with pytest.raises(FloatingPointError, match="gap is nan at update 7.*update 6 is"):
        run(tmp_path, calls=9)
    newest = checkpoints.latest(Workdir(tmp_path).checkpoints("toy"))
    assert newest is not None and newest.name == "step-00000006"
    rows = csv_log.load(Workdir(tmp_path).metrics_file("toy"))
    assert len(rows) == 6, "the bad record is reported, not recorded"
