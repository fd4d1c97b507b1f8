"""Tests of pipeline.best_checkpoint: what is kept as the best, also resumed."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import pytest

from experiments.pipeline import best_checkpoint
from experiments.pipeline.workdir import Workdir
from omnivla_jax.core import checkpoint_files
from omnivla_jax.train import checkpoints, csv_log

SUCCESS = {2: 0.25, 4: 0.75, 6: 0.5, 8: 0.75, 10: 1.0}


@pytest.fixture
def context(tmp_path, monkeypatch) -> Any:
    def success(context, state, *, update):
        assert float(state["w"]) == update
        low, high = SUCCESS[update] / 2, 1.0
        return {"update": update, "success": SUCCESS[update], "low": low, "high": high}

    monkeypatch.setattr(best_checkpoint, "_validation_success", success)
    return SimpleNamespace(workdir=Workdir(tmp_path))


def validate(context, updates, *, resumed_after=0):
    """Validate after each of `updates`; returns the best update after each."""
    best = []
    with best_checkpoint.best_checkpointer(
        context, "online", resumed_after=resumed_after
    ) as (validate_state, writer):
        for update in updates:
            state: Any = {"w": jnp.float32(update)}
            validate_state(state, [{"update": n} for n in range(update)])
            writer.wait()
            (folder,) = context.workdir.checkpoints("online_best").iterdir()
            best.append(int(folder.name.removeprefix(checkpoint_files.PREFIX)))
    return best


def table(context):
    rows = csv_log.load(context.workdir.metrics_file("online_validation"))
    return {int(row["update"]): row["success"] for row in rows}


def test_ties_keep_the_earlier_best(context):
    assert validate(context, SUCCESS) == [2, 4, 4, 4, 10]
    assert table(context) == SUCCESS
    newest = checkpoints.latest(context.workdir.checkpoints("online_best"))
    assert newest is not None
    restored = checkpoints.restore(newest, {"w": jnp.float32(0)})
    assert restored.tree["w"] == 10 and len(restored.history) == 10
    assert list(context.workdir.tensorboard("online_validation").iterdir())


@pytest.mark.parametrize("taken_up", [0, 2, 4])
def test_evaluations_beyond_the_checkpoint_are_made_again(context, taken_up):
    """Killed after update 5; what is taken up has seen less, the best one more."""
    validate(context, [2, 4])
    again = [update for update in SUCCESS if update > taken_up]
    assert validate(context, again, resumed_after=taken_up)[-2:] == [4, 10]
    assert table(context) == SUCCESS


def test_nothing_is_the_best_before_anything_was_evaluated(context):
    with best_checkpoint.best_checkpointer(context, "online", resumed_after=0):
        pass
    assert checkpoints.latest(context.workdir.checkpoints("online_best")) is None
