"""Tests of imported weights: their record, stage II from them, and what is refused."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import chex
import jax
import orbax.checkpoint as ocp
import pytest
from flax import traverse_util

from experiments import training, weights
from experiments.configs import quickstart
from experiments.settings import from_config
from experiments.workdir import Workdir
from omnivla_jax.policy import config as configs
from omnivla_jax.policy.pretrained import openpi
from tests.policy.pretrained import fakes
from tests.train import reaching

DEBUG = configs.preset("debug")
PI0 = openpi.pi0_config(DEBUG)


@pytest.fixture(scope="module")
def pi0(tmp_path_factory):
    """A folder of weights imported from a pi0 of the debug preset's size, and those."""
    root, params = tmp_path_factory.mktemp("pi0"), fakes.random_params(PI0)
    arrays = fakes.pi0(params, DEBUG.vision)
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = {"params": traverse_util.unflatten_dict(arrays, sep="/")}
        checkpointer.save(root / "public" / "params", tree)
    record = weights.Record("debug", True, (("pi0", str(root / "public")),), {})
    loaded = weights.import_files(root / "ours", record, seed=0)
    chex.assert_trees_all_equal(loaded.params["reasoning"], params["reasoning"])
    assert {name.split("/")[0] for name in loaded.kept} == {"spatial"}
    return root / "ours", loaded.params


def settings(folder, **changes):
    config = quickstart.get_config("debug")
    config.policy.weights = str(folder)
    config.update_from_flattened_dict(changes)
    return from_config(config)


def test_the_record_makes_the_policy_that_the_weights_presuppose(pi0):
    folder, _ = pi0
    record = json.loads((folder / weights.RECORD).read_text())
    assert record["preset"] == "debug" and record["sources"][0][0] == "pi0"
    assert record["adapted"] == {
        "action_dim": 32,
        "real_action_dim": 7,
        "state_dim": 32,
        "real_state_dim": 8,
        "suffix_attention": "bidirectional",
    }
    found = settings(folder).policy
    assert found == dataclasses.replace(PI0, max_tokens=found.max_tokens)


def test_stage_two_starts_from_them(pi0, tmp_path):
    """Two steps at a learning rate of 0: what was imported is what comes out."""
    folder, params = pi0
    frozen = {"action.optimizer.learning_rate": 0.0, "action.average_decay": 0.0}
    job: Any = SimpleNamespace(
        settings=settings(folder, **frozen), workdir=Workdir(tmp_path), mesh=None
    )
    trained = training.flow_matching(job, reaching.demonstrations)
    assert int(trained.step) == 2
    chex.assert_trees_all_equal(trained.params, params)


def test_a_noise_head_is_drawn_beside_them(pi0):
    folder, params = pi0
    config = settings(folder, **{"policy.noise_head": True}).policy
    found = weights.restore(folder, jax.random.key(0), config, mesh=None)
    assert found["action"].pop("noise")
    chex.assert_trees_all_equal(found, params)


def test_what_cannot_be_used_is_one_clear_line(pi0, tmp_path):
    folder, _ = pi0
    with pytest.raises(ValueError, match="holds no imported weights: make them with"):
        settings(tmp_path)
    with pytest.raises(ValueError, match="with the spatial expert, do not fit") as e:
        settings(folder, **{"policy.spatial": False})
    assert "spatial/encoder" in str(e.value) and "\n" not in str(e.value)
    with pytest.raises(ValueError, match=r"do not fit.* instead of .* names in all"):
        settings(folder, **{"policy.preset": "tiny", "image_size": 64})
    broken = tmp_path / "broken"
    (broken / "step-00000000").mkdir(parents=True)
    (broken / weights.RECORD).write_text("{")
    with pytest.raises(ValueError, match="weights.json cannot be read.*import the"):
        settings(broken)
