"""Tests of experiments.watch through its entry point."""

import json
import re

import pytest

from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline.workdir import open_workdir
from omnivla_jax.policy import normalize
from omnivla_jax.train import checkpoints, rng, sft
from tests.data_pipelines.readers.fixtures.make_fixtures import FOLDER
from tests.helpers import launchers


@pytest.mark.slow
def test_a_runs_policy_is_played_and_shown(tmp_path):
    config = quickstart.get_config("debug")
    settings = from_config(config)
    run = open_workdir(tmp_path / "run", config.to_dict(), resume=False)
    sizes = settings.policy
    state = sft.create(
        sft.fresh_params(rng.named_key(settings.seed, "init"), sizes),
        normalize.identity_normalizer(sizes.robot_proprio_dim, sizes.robot_action_dim),
        config=settings.sft,
        seed=settings.seed,
    )
    checkpoints.save(run.checkpoints("sft"), state, [{"update": 0.0}])
    page = tmp_path / "page.html"
    flags = (f"--checkpoint={run.path}", "--episodes=2", f"--out={page}")
    done = launchers.run("experiments.watch", *flags)
    assert done.returncode == 0, done.stderr
    data = re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert data
    first, second = json.loads(data[1])["episodes"]
    assert first["title"] == "put the bowl on the stove"
    assert second["title"] == "turn on the stove"
    # Two chunks of two steps.
    assert first["frames"] == 5 and first["decisions"] == [0, 2]
    assert first["pictures"]["size"] == 16 and set(first["curves"]) == {
        "alignment",
        "progress",
    }


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--expert=libero_goal", "--checkpoint=runs"], "give one of --checkpoint, "),
        (["--demonstrations=/nowhere"], "there is no such path"),
        (
            [f"--demonstrations={FOLDER / 'v21_images'}", "--config.data.cameras=top"],
            "has no top: choose cameras from image, wrist_image with --config.data.cam",
        ),
    ],
)
def test_wrong_flags_are_one_line(tmp_path, arguments, words):
    out = f"--out={tmp_path / 'page.html'}"
    done = launchers.run("experiments.watch", *arguments, out)
    assert done.returncode != 0 and words in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())
