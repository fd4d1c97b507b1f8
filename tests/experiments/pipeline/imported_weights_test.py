"""Tests of imported weights: metadata, training from them, and refused folders."""

import dataclasses
import json
import shutil
from types import SimpleNamespace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import traverse_util

from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline import imported_weights, training, training_stage
from experiments.pipeline.workdir import Workdir, open_workdir
from omnivla_jax.core import sharding
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import inference
from omnivla_jax.policy.pretrained import openpi, published
from omnivla_jax.train import checkpoints
from tests.helpers import reaching
from tests.helpers.pretrained import fakes, published_folder

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
    sources = (("pi0", str(root / "public")),)
    metadata = imported_weights.WeightsMetadata("debug", True, sources, {})
    loaded = imported_weights.import_files(root / "ours", metadata, seed=0)
    chex.assert_trees_all_equal(loaded.params["reasoning"], params["reasoning"])
    assert {name.split("/")[0] for name in loaded.missing_initialized} == {"spatial"}
    return root / "ours", loaded.params


def settings(folder, **changes):
    config = quickstart.get_config("debug")
    config.policy.weights = str(folder)
    config.update_from_flattened_dict(changes)
    return from_config(config)


def test_metadata_makes_the_policy_that_weights_need(pi0):
    folder, _ = pi0
    metadata = json.loads((folder / imported_weights.METADATA).read_text())
    assert metadata["preset"] == "debug" and metadata["sources"][0][0] == "pi0"
    assert metadata["config_updates"] == {
        "action_dim": 32,
        "real_action_dim": 7,
        "proprio_dim": 32,
        "real_proprio_dim": 8,
        "suffix_attention": "bidirectional",
    }
    found = settings(folder).policy
    assert found == dataclasses.replace(PI0, max_tokens=found.max_tokens)


@pytest.mark.slow
def test_sft_starts_from_imported_weights(pi0, tmp_path):
    """Two steps at a learning rate of 0: what was imported is what comes out."""
    folder, params = pi0
    frozen = {"sft.optimizer.learning_rate": 0.0, "sft.ema_decay": 0.0}
    context: Any = SimpleNamespace(
        config=settings(folder, **frozen), workdir=Workdir(tmp_path), mesh=None
    )
    stage = training.sft_stage(context, None, reaching.demonstrations)
    trained = training_stage.run(context, stage)
    assert int(trained.step) == 2
    chex.assert_trees_all_equal(trained.params, params)


def test_a_noise_head_is_initialised_beside_them(pi0):
    folder, params = pi0
    config = settings(folder, **{"policy.noise_head": True}).policy
    found = imported_weights.restore(folder, jax.random.key(0), config, mesh=None)
    assert found["action"].pop("noise")
    chex.assert_trees_all_equal(found, params)


def test_unusable_weights_are_one_clear_line(pi0, tmp_path):
    folder, _ = pi0
    with pytest.raises(ValueError, match="holds no imported weights: it is empty;"):
        settings(tmp_path)
    with pytest.raises(ValueError, match="with the spatial expert, do not fit") as e:
        settings(folder, **{"policy.spatial": False})
    assert "spatial/encoder" in str(e.value) and "\n" not in str(e.value)
    with pytest.raises(ValueError, match=r"do not fit.* instead of .* names in all"):
        settings(folder, **{"policy.preset": "tiny", "image_size": 64})
    broken = tmp_path / "broken"
    (broken / "step-00000000").mkdir(parents=True)
    (broken / imported_weights.METADATA).write_text("{")
    with pytest.raises(ValueError, match="weights.json cannot be read.*import the"):
        settings(broken)


def test_weights_are_found_around_their_folder(pi0, capsys):
    folder, _ = pi0
    step = checkpoints.latest(folder)
    assert step is not None
    for path in (folder, folder.parent, step, step / "params", step / "history"):
        found = settings(path)
        assert found.weights == folder
        assert found.policy == settings(folder).policy
        note = f"{path} means {folder}"
        assert (note in capsys.readouterr().out) == (path != folder)


def test_folders_without_imported_weights_are_described(pi0, tmp_path):
    folder, _ = pi0
    run = open_workdir(tmp_path / "run", {"seed": 0}, resume=False)
    checkpoints.save(run.checkpoints("online"), {"w": jnp.zeros(2)}, [{"a": 1.0}])
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "model.safetensors").write_text("")
    (tmp_path / "public" / "config.json").write_text("{}")
    for name in ("one", "other"):
        (tmp_path / "two" / name).mkdir(parents=True)
        shutil.copy(folder / imported_weights.METADATA, tmp_path / "two" / name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    for name, words in {
        "run": f"belongs to the run {run.path}, which --config.init_checkpoint",
        "run/checkpoints/online": f"belongs to the run {run.path},",
        "run/checkpoints/online/step-00000001": f"belongs to the run {run.path},",
        "public": "public ones such as model.safetensors are to be imported first",
        "public/model.safetensors": "it is a file",
        "two": "name one of .*one, .*other, or make",
        "two/one": "metadata of an import that was interrupted",
        "mine": "it holds notes.txt",
        "missing": "does not exist",
    }.items():
        with pytest.raises(ValueError, match=words) as error:
            settings(tmp_path / name)
        assert "\n" not in str(error.value) and "delete" not in str(error.value)


@pytest.fixture(scope="module")
def published_weights(tmp_path_factory):
    """Imports by name without a spatial expert: (folder of weights, of its source)."""
    root, base = tmp_path_factory.mktemp("published"), DEBUG.without_spatial()
    for name in ("pi0_libero", "pi05_base"):
        published_folder.write(root / name, name, base)
        sources = ((name, str(root / name)),)
        metadata = imported_weights.WeightsMetadata("debug", False, sources, {})
        imported_weights.import_files(root / f"{name}_ours", metadata, seed=0)
    return root


@pytest.mark.slow
def test_a_published_checkpoint_acts_from_its_import(published_weights):
    policy = inference.load(published_weights / "pi0_libero_ours")
    original = published.load_policy(
        "pi0_libero",
        published_weights / "pi0_libero",
        base=DEBUG.without_spatial(),
        mesh=sharding.make_mesh(),
    )
    assert policy.spec.config == original.config
    assert (policy.spec.exec_horizon, policy.spec.ode_steps) == (5, 10)
    spec = inference.PolicySpec(original.config, 5, 10)
    expected = inference.Policy(original.params, original.normalizer, spec)
    seen = {
        "images": np.zeros((2, 16, 16, 3), np.uint8),
        "state": np.linspace(-1, 1, 8),
        "prompt": "open it",
    }
    np.testing.assert_array_equal(
        policy.infer(seen)["actions"], expected.infer(seen)["actions"]
    )


def test_a_base_checkpoint_has_no_units(published_weights):
    with pytest.raises(ValueError, match="parameters without the description"):
        inference.load(published_weights / "pi05_base_ours")


@pytest.mark.slow
def test_training_goes_on_from_a_published_checkpoint(published_weights, tmp_path):
    """The state in the prompt and the pictures stay, chunks are actions themselves."""
    changes = {"policy.spatial": False, "policy.max_tokens": 32}
    frozen = {"sft.optimizer.learning_rate": 0.0, "sft.ema_decay": 0.0}
    moved = settings(published_weights / "pi0_libero_ours", **changes).policy
    assert moved.delta_mask == () and moved.horizon == 50 and moved.max_tokens == 32
    config = settings(published_weights / "pi05_base_ours", **changes, **frozen)
    assert config.policy.state_in_prompt and not config.policy.proprio_token
    assert config.policy.image_convention == "openpi"
    context: Any = SimpleNamespace(config=config, workdir=Workdir(tmp_path), mesh=None)
    stage = training.sft_stage(context, None, reaching.demonstrations)
    assert int(training_stage.run(context, stage).step) == 2
