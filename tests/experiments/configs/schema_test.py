"""Tests of configs.schema: the committed configs, overrides and refusals."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments.configs import quickstart
from experiments.configs.checks import check_tasks
from experiments.configs.schema import from_config
from omnivla_jax.flow import drifts, schedules
from omnivla_jax.policy.heads.flow_sampler import FlowSampler
from omnivla_jax.rl import grpo, gspo, ppo, rloo
from omnivla_jax.sim.libero import files
from omnivla_jax.sim.libero import tasks as tables
from omnivla_jax.train.online import objectives


@pytest.mark.parametrize("variant", ["", "debug"])
def test_the_committed_configs_convert(variant):
    settings = from_config(quickstart.get_config(variant))
    assert len(settings.tasks) >= 3
    sampler = settings.sampler
    assert isinstance(sampler, FlowSampler)
    assert sampler.schedule.shape is schedules.flow_grpo
    assert sampler.drift is drifts.corrected
    assert settings.evaluation.chunks == settings.rl.chunks
    assert sampler.exec_horizon is not None
    length = objectives.ratio_normalizers(settings.policy, sampler)["HK"]
    assert length == sampler.steps * sampler.exec_horizon
    assert settings.sft.optimizer.decay_steps == settings.sft.steps
    rl = settings.rl
    assert rl.optimizer.decay_steps == rl.updates * rl.epochs * rl.minibatches
    if not variant:
        assert settings.evaluation.episodes >= 200


def test_a_stored_config_reads_as_it_was():
    config = quickstart.get_config()
    stored = ConfigDict(json.loads(json.dumps(config.to_dict())))
    found, expected = from_config(stored), from_config(config)
    for name in ("policy", "sampler", "spatial", "sft", "evaluation"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.rl.tree == expected.rl.tree == ()


def test_the_hybrid_sampler_counts_one_step():
    config = quickstart.get_config()
    config.sampler.stochastic_steps = "one"
    settings = from_config(config)
    length = objectives.ratio_normalizers(settings.policy, settings.sampler)["HK"]
    assert length == config.exec_horizon


@pytest.mark.parametrize(
    "objective, own",
    [
        ("gspo", gspo.GspoConfig(ratio_normalizer=32)),
        ("grpo", grpo.GrpoConfig(ratio_normalizer=1)),
        ("ppo", ppo.PpoConfig(ratio_normalizer=1)),
        ("rloo", rloo.RlooConfig(ratio_normalizer=1)),
    ],
)
def test_clip_and_length_suit_the_objective(objective, own):
    config = quickstart.get_config()
    config.rl.update({"objective": objective})
    assert from_config(config).rl.objective.config == own
    config.rl.update({"ratio_normalizer": "HK", "clip_low": 0.1, "clip_high": 0.3})
    changed = from_config(config).rl.objective.config
    assert (changed.ratio_normalizer, *changed.clip) == (32, 0.1, 0.3)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("tasks", (5, 11), "0 to 9"),
        ("tasks", (5, 5), r"Repeated tasks \[5, 5\] of .*0 to 9.*tasks=0,1\."),
        ("tasks", (), "No tasks of libero_goal: choose"),
        ("demonstrations.episodes", 2, "episodes=2 for 3 tasks"),
        ("suite", "libero_goat", "libero_goal"),
        ("exec_horizon", 9, "between 1 and"),
        ("image_size", 32, "make them equal"),
        ("chunks", 60, "exceed"),
        ("policy.preset", "huge", "tiny"),
        ("policy.tokenizer", "no.model", "no.model is no SentencePiece model"),
        ("sampler.schedule", "quadratic", "flow_grpo"),
        ("rl.minibatches", 7, "do not divide"),
        ("rl.reward_weights", {"beauty": 1.0}, "beauty"),
        ("rl.gae_lambda", 0.9, "'gspo' has no settings gae_lambda"),
        ("policy.head", "l2", "flow, l1"),
        ("perturb.split", "test", "Unknown split .test.: choose one"),
    ],
)
def test_wrong_settings_are_named_with_a_remedy(name, value, words):
    config = quickstart.get_config()
    with config.unlocked():
        config.update_from_flattened_dict({name: value})
    with pytest.raises(ValueError, match=words):
        from_config(config)


def test_unknown_variants_are_refused():
    with pytest.raises(ValueError, match="debug"):
        quickstart.get_config("debgu")


@pytest.fixture
def parsed(monkeypatch):
    """The config after arguments of the command line, through the real parser."""

    def parse(config, *arguments):
        monkeypatch.setattr(sys, "argv", ["quickstart", *arguments])
        values = flags.FlagValues()
        config_flags.DEFINE_config_dict("config", config, flag_values=values)
        values(sys.argv)
        return values.config

    return parse


def test_a_users_file_says_which_tasks_to_give(tmp_path, parsed):
    """And what it says is what the command line takes."""
    path = tmp_path / "my_task.bddl"
    shutil.copy(files.suite_files("libero_goal").paths[8], path)
    config = quickstart.get_config("debug")
    config.suite = str(path)
    with pytest.raises(ValueError, match=r"Unknown tasks \[1, 7, 8\].*1 task") as error:
        from_config(config)
    said = re.search(r"add (--config\S+) to the command\.$", str(error.value))
    assert said is not None and said[1] == "--config.tasks=0,"
    assert from_config(parsed(config, said[1])).tasks == (0,)


def test_several_tasks_are_given_as_said(parsed):
    config = quickstart.get_config("debug")
    config.tasks = (1, 7, 12)
    with pytest.raises(ValueError, match=r"such as --config.tasks=0,1\."):
        from_config(config)
    dataset = ("--config.data.source=auto", "--config.data.path=a/b")
    arguments = ("--config.tasks=0,1", *dataset)
    settings = from_config(parsed(config, *arguments))
    assert settings.tasks == (0, 1)
    assert settings.data.path == Path("a/b")


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"source": "csv"}, "data.source is 'csv'; choose one of expert, auto, lero"),
        ({"path": "a"}, "data.path=a is not read with data.source=expert"),
        ({"source": "rlds"}, "data.source=rlds needs --config.data.path=FOLDER"),
        ({"padding": "wrap"}, "data.padding='wrap' is unknown: choose one of hold"),
        ({"image_convention": "x"}, "data.image_convention is 'x'; choose one of upri"),
        ({"gripper": "x"}, "data.gripper is 'x'; choose one of libero, oxe"),
    ],
)
def test_data_settings_that_do_not_fit(changes, text):
    config = quickstart.get_config("debug")
    config.data.update(changes)
    with pytest.raises(ValueError, match=text):
        from_config(config)


@pytest.mark.parametrize("tasks", [(True,), (1.0,), ("1",)])
def test_only_whole_numbers_are_tasks(tasks):
    with pytest.raises(ValueError, match="Unknown tasks"):
        check_tasks(tables.suite("libero_goal"), tasks, example="--tasks=0")


def test_how_files_are_read_reaches_the_task_table(tmp_path, parsed):
    text = tables.suite("libero_goal").tasks[8]
    source = next(
        path
        for path in files.suite_files("libero_goal").paths
        if path.stem == text.name
    ).read_text()
    path = tmp_path / f"{text.name}_light_3.bddl"
    path.write_text(source)
    shared = (f"--config.suite={path}", "--config.tasks=0,")
    config = quickstart.get_config("debug")
    arguments = ("--config.task_files.prompt=as_published", "--config.chunks=1")
    table = from_config(parsed(config, *shared, *arguments)).task_table
    assert table.tasks[0].instruction == "put the bowl on the plate light 3"
    few = ("--config.task_files.horizon=1", "--config.chunks=1")
    with pytest.raises(ValueError, match="task_files.horizon"):
        from_config(parsed(quickstart.get_config("debug"), *shared, *few))
