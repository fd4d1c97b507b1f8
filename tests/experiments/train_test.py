"""Tests of experiments.train on the debug config: stages apart, and what is refused."""

import json

import numpy as np
import pytest

from experiments.benchmarks.lib import synthetic_lerobot
from experiments.serving.requests import RequestFormat, to_observation
from omnivla_jax.policy import inference
from tests.helpers import launchers

CONFIG = "--config=experiments/configs/quickstart.py:debug"
# Where the steps are those of `quickstart_test.py`, so are the compiled programs.
CHANGES = ("sft.steps=6", "rl.updates=6", "evaluation.recorded=0")
FLAGS = [f"--config.{change}" for change in CHANGES]


def launch(workdir, *arguments):
    command = ("experiments.train", CONFIG, *FLAGS, f"--workdir={workdir}")
    return launchers.run(*command, *arguments)


@pytest.mark.slow
def test_online_training_starts_from_another_run(tmp_path):
    sft, online = tmp_path / "sft", tmp_path / "online"
    done = launch(sft, "--config.stages=sft", "--config.data.streaming=True")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    results = json.loads((sft / "results.json").read_text())
    assert results["before"] is None and results["time_split"] is None
    assert not (sft / "online.csv").exists()
    done = launch(online, "--config.stages=online", f"--config.init_checkpoint={sft}")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert (
        not (online / "sft.csv").exists() and not (online / "demonstrations").exists()
    )
    later = json.loads((online / "results.json").read_text())
    # The online stage starts from the policy that the first run ended with.
    assert later["before"] == results["after"]
    assert (online / "report.html").stat().st_size > 1000


@pytest.mark.slow
def test_stage_one_comes_before_sft(tmp_path):
    """Spatial pre-training, its page, a policy without the decoder; then resuming."""
    run = tmp_path / "run"
    command = (run, "--config.stages=spatial,sft")
    done = launch(*command)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    judged = json.loads((run / "phases" / "geometry.json").read_text())
    assert set(judged["suites"]["libero_goal"]) >= {"nominal", "distance", "all varied"}
    assert judged["split"] == "held_out"
    assert judged["suites"]["libero_goal"]["nominal"]["abs_rel"] > 0
    page = (run / "geometry.html").read_text("utf-8")
    assert page.count("<canvas") == 8 and "libero_goal, distance" in page
    assert len((run / "spatial.csv").read_text().splitlines()) == 3
    # The decoder is gone: parameters are read as those of a policy.
    policy = inference.load(run / "checkpoints" / "sft")
    rgb = np.zeros((2, 16, 16, 3), np.uint8)
    request = {"images": rgb, "state": np.zeros(8), "prompt": "turn on the stove"}
    assert np.isfinite(policy.infer(request)["actions"]).all()
    again = launch(*command, "--resume")
    assert again.returncode == 0, again.stderr
    assert "Geometry           evaluated already" in again.stdout
    refused = launchers.run(
        "experiments.evaluate", f"--checkpoint={run}/checkpoints/spatial"
    )
    assert refused.returncode == 1 and "trains no actions" in refused.stderr


@pytest.mark.slow
def test_another_robot_learns_from_its_dataset(tmp_path):
    """Three cameras and 14 joints, without a simulator; then it is served."""
    cameras = ("top", "left", "right")
    robot = synthetic_lerobot.Robot(cameras, state=14, actions=14)
    synthetic_lerobot.write(tmp_path / "data", frames=250, side=24, robot=robot)
    sizes = {"action_dim": 14, "proprio_dim": 14, "views": 3, "spatial": False}
    data = {
        "source": "lerobot",
        "path": tmp_path / "data",
        "cameras": ",".join(cameras),
        "state_keys": "state",
        "action_keys": "actions",
        "image_convention": "upright",
    }
    command = ["--config.suite=", "--config.stages=sft"]
    command += [f"--config.policy.{name}={value}" for name, value in sizes.items()]
    command += [f"--config.data.{name}={value}" for name, value in data.items()]
    refused = launch(tmp_path / "run", *command)
    assert refused.returncode == 1 and "data.padding=clamp" in refused.stderr
    done = launch(tmp_path / "run", *command, "--config.data.padding=clamp")
    assert done.returncode == 0, done.stderr
    assert "Not evaluated: there is no simulator" in done.stdout
    policy = inference.load(tmp_path / "run" / "checkpoints" / "sft")
    assert policy.spec.cameras == cameras and len(policy.spec.instructions) == 2
    served = RequestFormat(16, policy.spec.cameras, views=3, image_convention="upright")
    picture = np.zeros((24, 24, 3), np.uint8)
    request = {**dict.fromkeys(cameras, picture), "observation/state": np.zeros(14)}
    observation = to_observation({**request, "prompt": "stack the cups"}, served)
    assert policy.infer(observation)["actions"].shape == (4, 14)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--config.stages=online,sft"], "stages=online,sft must name stages once"),
        (["--config.stages=online"], "give --config.init_checkpoint=FOLDER"),
        (["--config.init_checkpoint=none"], "none holds no run and lies in none"),
        (["--config.suite="], 'suite="" is no simulator: give --config.stages=sft'),
        (["--config.stages=spatial,online"], "put sft before it in stages"),
        (
            ["--config.stages=spatial,sft", "--config.policy.spatial=False"],
            "set policy.spatial=True, or leave spatial out of stages",
        ),
    ],
)
def test_a_wrong_start_is_one_clear_line(tmp_path, arguments, words):
    done = launch(tmp_path / "run", *arguments)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert words in done.stderr
