"""Tests of experiments.evaluate through its entry point, on a debug run's folder."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline.workdir import open_workdir
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import normalize
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import state_files
from omnivla_jax.sim.resets import recorded_states, region_sampler
from omnivla_jax.train import checkpoints, online, rng, sft
from tests.helpers import launchers
from tests.helpers.pretrained import published_folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """As after 3 calls of flow matching and 5 updates of Flow-GSPO; no best one."""
    config = quickstart.get_config("debug")
    settings, path = from_config(config), tmp_path_factory.mktemp("runs") / "debug"
    opened, sizes = open_workdir(path, config.to_dict(), resume=False), settings.policy
    first = sft.create(
        sft.fresh_params(rng.named_key(settings.seed, "init"), sizes),
        normalize.identity_normalizer(sizes.robot_proprio_dim, sizes.robot_action_dim),
        config=settings.sft,
        seed=settings.seed,
    )
    second = online.create(first, config=settings.rl, policy_config=sizes)
    for name, state, calls in (("sft", first, 3), ("online", second, 5)):
        rows = [{"update": float(call)} for call in range(calls)]
        checkpoints.save(opened.checkpoints(name), state, rows)
    return path


def launch(*arguments):
    return launchers.run("experiments.evaluate", *arguments)


def evaluation(*arguments):
    done = launch(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_verdicts_do_not_depend_on_the_split(workdir):
    def files():
        return {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}

    before = files()
    run = f"--checkpoint={workdir}"
    whole = evaluation(run)  # as the run's own evaluation: 6 episodes
    assert len(whole["verdicts"]) == len(whole["steps"]) == whole["episodes"] == 6
    assert (whole["stage"], whole["update"]) == ("online", 5)
    assert whole["success"] == sum(whole["verdicts"]) / 6
    assert [task["episodes"] for task in whole["per_task"].values()] == [2, 2, 2]
    few = evaluation(f"{run}/checkpoints/sft", "--episodes=4", "--batch_size=3")
    # Stage III starts from stage II's average, here the same parameters.
    assert few["verdicts"] == whole["verdicts"][:4]
    assert few["steps"] == whole["steps"][:4]
    assert [task["episodes"] for task in few["per_task"].values()] == [2, 1, 1]
    assert (few["stage"], few["update"], few["diverged"]) == ("sft", 3, 0)
    assert files() == before


@pytest.mark.slow
def test_recorded_states_give_a_table_and_videos(workdir, tmp_path):
    """With videos another program runs; its verdicts and lengths are the same."""
    scene = scenes.make("libero_goal", tasks=(7,), engine="mujoco")
    keys = jax.random.split(jax.random.key(0), 2)
    qpos, *_ = region_sampler.sample(scene, jnp.full(2, 7, jnp.int32), keys)
    qvel = jnp.zeros((2, scene.model.nv))
    rows = recorded_states.from_scene(scene, 7, qpos, qvel)
    file = tmp_path / "states.pruned_init"
    state_files.write(file, np.concatenate([np.zeros((2, 1)), *rows], axis=1))
    run, out = f"--checkpoint={workdir}", tmp_path / "out"
    recorded = (run, "--tasks=7", f"--initial_states={file}")
    shown = evaluation(*recorded, "--videos=1", f"--out={out}")
    assert shown["episodes"] == len(shown["verdicts"]) == 2
    assert shown["initial_states"] == str(file)
    assert json.loads((out / "evaluation.json").read_text()) == shown
    assert "| turn on the stove |" in (out / "evaluation.md").read_text()
    assert shown["success"] == 0 and (out / "failures.mp4").stat().st_size > 100
    plain = evaluation(*recorded, "--episodes=1", "--max_steps=4")
    assert plain["verdicts"] == shown["verdicts"][:1]
    assert plain["steps"] == shown["steps"][:1]
    done = launch(*recorded, f"--out={out}")
    assert done.returncode == 2 and "holds an evaluation" in done.stderr


@pytest.mark.slow
def test_perturbed_episodes_are_told_by_dimension(workdir, tmp_path):
    out = tmp_path / "out"
    shown = evaluation(
        f"--checkpoint={workdir}",
        *("--perturb=noise.zoom,language.request", "--severity=0.5,1", "--episodes=12"),
        *("--max_steps=4", "--videos=1", f"--out={out}"),
    )
    assert {name: row["episodes"] for name, row in shown["dimensions"].items()} == {
        **{"language": 6, "noise": 6}
    }
    assert len(shown["variants"]) == 12 and shown["success"] == 0
    assert (out / "noise.mp4").exists() and (out / "perturbations.html").exists()
    assert "| noise, zoom |" in (out / "evaluation.md").read_text()


def test_a_missing_checkpoint_is_one_clear_line(workdir, tmp_path):
    for done, words in (
        (launch(f"--checkpoint={tmp_path}"), f"{tmp_path} holds no run"),
        (
            launch(f"--checkpoint={workdir}", "--stage=online_best"),
            "holds no checkpoint",
        ),
    ):
        assert done.returncode == 1 and done.stdout == ""
        assert len(done.stderr.splitlines()) == 1 and words in done.stderr


@pytest.mark.slow
def test_published_weights_are_played_by_one_command(tmp_path):
    """openpi's layout of pi05_libero in miniature, for two chunks in two tasks."""
    base = configs.preset("debug").without_spatial()
    published_folder.write(tmp_path / "pi05_libero", "pi05_libero", base)
    weights = f"--weights={tmp_path}/pi05_libero"
    suite = ("--suite=libero_spatial", "--preset=debug")
    command = ("--policy=pi05_libero", weights, *suite)
    found = evaluation(*command, "--tasks=0,3", "--episodes=2", "--max_steps=10")
    assert found["policy"] == "pi05_libero" and found["suite"] == "libero_spatial"
    assert found["weights"] == str(tmp_path / "pi05_libero")
    assert found["steps"] == [10, 10] and found["diverged"] == 0
    assert len(found["per_task"]) == 2
    (tmp_path / "pi05_libero" / "assets").rename(tmp_path / "elsewhere")
    done = launch(*command)
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "--norm_stats" in done.stderr


def test_half_a_command_says_what_it_lacks():
    for arguments, words in (
        ((), "give --checkpoint=FOLDER, or --policy=NAME"),
        (("--policy=pi05_libero",), "needs --weights=FOLDER"),
        (("--policy=pi05_libero", "--weights=a"), "needs --suite=NAME"),
    ):
        done = launch(*arguments)
        assert done.returncode == 2 and words in done.stderr
