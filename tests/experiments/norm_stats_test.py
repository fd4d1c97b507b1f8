"""Statistics of a dataset as it is trained on, and training with them."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.writers import WRITERS
from experiments import norm_stats as launcher
from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline import training
from omnivla_jax.policy import norm_stats, normalize
from omnivla_jax.train import sft_data
from tests.data_pipelines.rlds_test import make_episode
from tests.helpers import launchers

TEXT = "turn on the stove"
EPISODES = [
    make_episode(seed, length=5 + seed)._replace(instruction=TEXT, task=7)
    for seed in range(3)
]


def run(flags):
    return launchers.run("experiments.norm_stats", *flags)


@pytest.fixture
def raw(tmp_path):
    WRITERS["lerobot"].write(tmp_path, EPISODES, name="libero_goal")
    config = quickstart.get_config("debug")
    config.data.source, config.data.path = "lerobot", str(tmp_path / "libero_goal")
    config.data.padding, config.data.all_tasks = "clamp", True
    return config


def measured(raw):
    config = from_config(raw)
    return config, launcher.measure(
        launcher.demonstrations(config), config.policy, padding=config.data.padding
    )


def test_chunks_count_their_repeats(raw):
    config, (state, actions, count) = measured(raw)
    horizon = config.policy.horizon
    chunks = np.concatenate(
        [
            episode.action[np.minimum(t + np.arange(horizon), len(episode.action) - 1)]
            for episode in EPISODES
            for t in range(len(episode.action))
        ]
    )
    assert count == 3 and actions.mean.shape == (7,)
    np.testing.assert_allclose(actions.mean, chunks.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(actions.std, chunks.std(axis=0), rtol=1e-5)
    states = np.concatenate([episode.state for episode in EPISODES])
    np.testing.assert_allclose(state.mean, states.mean(axis=0), rtol=1e-5, atol=1e-7)


def test_deltas_are_taken_before_the_statistics(raw):
    _, (_, plain, _) = measured(raw)
    raw.policy.delta_mask = "6,-1"
    _, (_, relative, _) = measured(raw)
    states = np.concatenate([episode.state for episode in EPISODES]).mean(axis=0)
    expected = plain.mean - [*states[:6], 0]
    np.testing.assert_allclose(relative.mean, expected, atol=1e-6)


def test_masked_repeats_do_not_count(raw):
    raw.data.padding = "mask"
    config, (_, actions, _) = measured(raw)
    horizon = config.policy.horizon
    rows = [
        episode.action[t : t + horizon]
        for episode in EPISODES
        for t in range(len(episode.action))
    ]
    expected = np.concatenate(rows).mean(axis=0)
    np.testing.assert_allclose(actions.mean, expected, rtol=1e-5, atol=1e-7)


def test_other_instructions_are_left_out(raw):
    raw.data.all_tasks = False
    assert measured(raw)[1][2] == 3  # the stove is a task of the run's
    raw.tasks = (8,)
    with pytest.raises(ValueError, match="no frame to train on"):
        measured(raw)


@pytest.mark.parametrize("mode", norm_stats.MODES)
def test_dataset_is_in_the_files_units(raw, tmp_path, mode):
    raw.policy.delta_mask = "6,-1"
    config, (state, actions, _) = measured(raw)
    norm_stats.write(tmp_path / "stats.json", state=state, actions=actions)
    raw.data.norm_stats, raw.data.normalization = str(tmp_path / "stats.json"), mode
    config = from_config(raw)
    training.check_start(config)
    maps = norm_stats.read(tmp_path / "stats.json", mode, proprio_dim=8, action_dim=7)
    data = sft_data.make_dataset(
        EPISODES, maps, config=config.policy, padding=config.data.padding
    )
    first = EPISODES[0]
    relative = first.action[0] - [*first.state[0, :6], 0]
    expected = normalize.normalize(maps.action, jnp.asarray(relative))
    np.testing.assert_allclose(data.chunk[0, 0], expected, rtol=1e-4, atol=1e-5)
    if mode == "mean_std":
        flat = np.asarray(data.chunk).reshape(-1, 7)
        np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(flat.std(axis=0), 1, atol=1e-4)


def test_deltas_without_statistics_are_refused(raw):
    raw.policy.delta_mask = "6,-1"
    with pytest.raises(ValueError, match="data.norm_stats=FILE"):
        training.check_start(from_config(raw))
    raw.policy.delta_mask = "six"
    with pytest.raises(ValueError, match="such as 6,-1"):
        from_config(raw)


def test_statistics_that_would_be_ignored_are_refused(raw, tmp_path):
    raw.data.norm_stats = str(tmp_path / "none.json")
    config = from_config(raw)
    with pytest.raises(ValueError, match="none.json"):
        training.check_start(config)
    config = dataclasses.replace(config, init_checkpoint=tmp_path)
    with pytest.raises(ValueError, match="leave one out"):
        training.check_start(config)


def test_launcher_writes_once(raw, tmp_path):
    out = tmp_path / "stats.json"
    command = [
        "--config=experiments/configs/quickstart.py:debug",
        "--config.data.source=auto",
        f"--config.data.path={raw.data.path}",
        "--config.data.all_tasks",
        f"--out={out}",
    ]
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(out.read_text())["norm_stats"]["state"]["q99"]) == 8
    again = run(command)
    assert again.returncode == 1 and len(again.stderr.splitlines()) == 1
    assert "choose another name" in again.stderr
