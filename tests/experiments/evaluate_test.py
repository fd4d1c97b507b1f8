"""Tests of experiments.evaluate through its entry point, on a debug run's folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline.workdir import open_workdir
from omnivla_jax.policy import normalize
from omnivla_jax.train import checkpoints, online, rng, sft

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """As after 3 calls of flow matching and 5 updates of Flow-GSPO; no best one."""
    config = quickstart.get_config("debug")
    settings, path = from_config(config), tmp_path_factory.mktemp("runs") / "debug"
    opened, sizes = open_workdir(path, config.to_dict(), resume=False), settings.policy
    first = sft.create(
        sft.fresh_params(rng.named_key(settings.seed, "init"), sizes),
        normalize.identity_normalizer(sizes.robot_state_dim, sizes.robot_action_dim),
        config=settings.sft,
        seed=settings.seed,
    )
    second = online.create(first, config=settings.rl, policy_config=sizes)
    for name, state, calls in (("flow_matching", first, 3), ("flow_gspo", second, 5)):
        rows = [{"update": float(call)} for call in range(calls)]
        checkpoints.save(opened.checkpoints(name), state, rows)
    return path


def launch(workdir, *arguments):
    command = [sys.executable, "-m", "experiments.evaluate", f"--workdir={workdir}"]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=840
    )


def found(workdir, *arguments):
    done = launch(workdir, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_split_prints_the_same_verdicts_and_leaves_the_run_as_it_was(workdir):
    def files():
        return {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}

    before = files()
    whole = found(workdir)  # as the run's own evaluation: 6 episodes
    assert len(whole["verdicts"]) == len(whole["steps"]) == whole["episodes"] == 6
    assert (whole["stage"], whole["update"]) == ("flow_gspo", 5)
    assert whole["success"] == sum(whole["verdicts"]) / 6
    assert [task["episodes"] for task in whole["per_task"].values()] == [2, 2, 2]
    few = found(workdir, "--episodes=4", "--batch_size=3", "--stage=flow_matching")
    # Stage III starts from stage II's average, here the same parameters.
    assert few["verdicts"] == whole["verdicts"][:4]
    assert few["steps"] == whole["steps"][:4]
    assert [task["episodes"] for task in few["per_task"].values()] == [2, 1, 1]
    assert (few["stage"], few["update"], few["diverged"]) == ("flow_matching", 3, 0)
    assert files() == before


def test_what_is_not_there_is_told_in_one_line(workdir, tmp_path):
    for done, words in (
        (launch(tmp_path), f"{tmp_path} holds no run"),
        (launch(workdir, "--stage=flow_gspo_best"), "holds no checkpoint"),
    ):
        assert done.returncode == 1 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1 and words in done.stderr
