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
def job(tmp_path, monkeypatch):
    def success(job, state, *, update):
        assert float(state["w"]) == update
        low, high = SUCCESS[update] / 2, 1.0
        return {"update": update, "success": SUCCESS[update], "low": low, "high": high}

    monkeypatch.setattr(best_checkpoint, "_success", success)
    return SimpleNamespace(workdir=Workdir(tmp_path))


def validate(job, updates, *, resumed_after=0):
    """Evaluate after each of `updates`; returns the steps that were the best then."""
    best = []
    with best_checkpoint.keeper(job, "online", resumed_after=resumed_after) as keeper:
        for update in updates:
            state: Any = {"w": jnp.float32(update)}
            keeper.evaluate(state, [{"update": n} for n in range(update)])
            keeper.writer.wait()
            (folder,) = job.workdir.best("online").iterdir()
            best.append(int(folder.name.removeprefix(checkpoint_files.PREFIX)))
    return best


def table(job):
    rows = csv_log.load(job.workdir.table("online_validation"))
    return {int(row["update"]): row["success"] for row in rows}


def test_the_best_is_kept_and_ties_keep_the_earlier_one(job):
    assert validate(job, SUCCESS) == [2, 4, 4, 4, 10]
    assert table(job) == SUCCESS
    newest = checkpoints.latest(job.workdir.best("online"))
    assert newest is not None
    restored = checkpoints.restore(newest, {"w": jnp.float32(0)})
    assert restored.tree["w"] == 10 and len(restored.history) == 10
    assert list(job.workdir.board("online_validation").iterdir())


@pytest.mark.parametrize("taken_up", [0, 2, 4])
def test_evaluations_beyond_the_checkpoint_are_made_again(job, taken_up):
    """Killed after update 5; what is taken up has seen less, the best one more."""
    validate(job, [2, 4])
    again = [update for update in SUCCESS if update > taken_up]
    assert validate(job, again, resumed_after=taken_up)[-2:] == [4, 10]
    assert table(job) == SUCCESS


def test_nothing_is_the_best_before_anything_was_evaluated(job):
    with best_checkpoint.keeper(job, "online", resumed_after=0):
        pass
    assert checkpoints.latest(job.workdir.best("online")) is None
