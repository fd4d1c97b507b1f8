"""LeRobot's folders: what their files state is what is played, or one clear line."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import sharding
from omnivla_jax.policy import normalize
from omnivla_jax.policy.pretrained import lerobot, published
from tests.helpers.pretrained import fakes, lerobot_pi0, pi0_case, tiny

STATE_FILE = "policy_preprocessor_step_0_normalizer_processor.safetensors"
STATISTICS = ("mean", "std", "q01", "q99")


def camera(name: str) -> dict:
    return {f"observation.images.{name}": {"type": "VISUAL", "shape": [3, 256, 256]}}


def write(folder, model, mode, **changes) -> dict[str, np.ndarray]:
    """The files of a checkpoint as LeRobot 0.6.1 saves them; returns statistics."""
    config = {
        "type": model,
        "input_features": camera("image") | camera("image2") | camera("empty_camera_0"),
        "chunk_size": pi0_case.HORIZON,
        "n_action_steps": 3,
        "num_inference_steps": 4,
        "tokenizer_max_length": 60,
        "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": mode, "ACTION": mode},
        "use_relative_actions": False,
    }
    config["input_features"]["observation.state"] = {"type": "STATE", "shape": [8]}
    (folder / "config.json").write_text(json.dumps(config | changes))
    steps = [
        {"registry_name": "rename_observations_processor", "config": {}},
        {"registry_name": "normalizer_processor", "state_file": STATE_FILE},
    ]
    processor = {"name": "policy_preprocessor", "steps": steps}
    (folder / "policy_preprocessor.json").write_text(json.dumps(processor))
    random = np.random.default_rng(0)
    stats: dict[str, np.ndarray] = {}
    for feature, size in (("observation.state", 8), ("action", 7)):
        rows = np.sort(random.uniform(0.1, 1, (4, size)), axis=0).astype(np.float32)
        stats |= {f"{feature}.{n}": row for n, row in zip(STATISTICS, rows)}
    fakes.write_safetensors(folder / STATE_FILE, stats)
    # The same numbers again, for the way back.
    fakes.write_safetensors(folder / STATE_FILE.replace("pre", "post"), stats)
    weights = lerobot_pi0.read_weights(model)
    weights = {f"model.{name}": array for name, array in weights.items()}
    fakes.write_safetensors(folder / "model.safetensors", weights)
    return stats


def load(folder):
    # The words' tokenizer stands for PaliGemma's, which has more tokens than the case.
    return published.load_policy(
        "lerobot",
        folder,
        base=tiny.PI0_CASE,
        mesh=sharding.make_mesh(),
        tokenizer="words",
    )


@pytest.mark.parametrize("model", pi0_case.NAMES)
def test_a_folder_states_its_recipe(tmp_path, model):
    write(tmp_path, model, "MEAN_STD")
    recipe = published.get_recipe("lerobot", tmp_path)
    assert (recipe.model, recipe.horizon, recipe.exec_horizon) == (model, 5, 3)
    assert (recipe.ode_steps, recipe.max_tokens) == (4, 60)
    assert recipe.state_in_prompt == (model == "pi05")
    assert recipe.image_convention == "openpi" and recipe.delta_mask == ()
    assert published.source_format("lerobot", tmp_path) == f"{model}-torch"


@pytest.mark.parametrize("mode", lerobot.MODES)
def test_units_are_lerobot_formulas(tmp_path, mode):
    stats = write(tmp_path, "pi05", mode)
    path = lerobot.find_stats(tmp_path)
    assert path.name == STATE_FILE
    sizes = {"proprio_dim": 8, "action_dim": 7}
    found = lerobot.read_stats(path, lerobot.MODES[mode], **sizes)
    pairs = ((found.state, "observation.state"), (found.action, "action"))
    for affine, name in pairs:
        mean, std, q01, q99 = (stats[f"{name}.{key}"] for key in STATISTICS)
        expected = (0.3 - mean) / (std + 1e-8)
        if mode == "QUANTILES":
            expected = 2 * (0.3 - q01) / (q99 - q01) - 1
        actual = normalize.normalize(affine, jnp.full(len(mean), 0.3))
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"type": "smolvla"}, "type is smolvla, and only pi0 or pi05"),
        ({"use_relative_actions": True}, "use_relative_actions is True"),
        ({"input_features": camera("image")}, "cameras is 1, and only 2"),
        (
            {"normalization_mapping": {"STATE": "MEAN_STD", "ACTION": "MIN_MAX"}},
            "normalization_mapping is MEAN_STD, MIN_MAX",
        ),
        ({"normalization_mapping": {"STATE": "MEAN_STD"}}, "lacks 'ACTION'"),
        ({"chunk_size": "50"}, "chunk_size is '50', not a count"),
        ({"n_action_steps": 6}, "n_action_steps is 6, and a chunk has 5"),
    ],
)
def test_other_policies_are_refused(tmp_path, changes, words):
    write(tmp_path, "pi05", "QUANTILES", **changes)
    with pytest.raises(ValueError, match=words) as error:
        lerobot.read_recipe(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_files_that_lack_something_are_named(tmp_path):
    with pytest.raises(ValueError, match="config.json cannot be read.*whole folder"):
        lerobot.read_recipe(tmp_path)
    stats = write(tmp_path, "pi0", "MEAN_STD")
    del stats["action.std"]
    fakes.write_safetensors(tmp_path / STATE_FILE, stats)
    with pytest.raises(ValueError, match="has action.std None, but mean_std needs 7"):
        lerobot.read_stats(
            tmp_path / STATE_FILE, "mean_std", proprio_dim=8, action_dim=7
        )
    (tmp_path / "policy_preprocessor.json").write_text('{"steps": [null]}')
    with pytest.raises(ValueError, match="names no statistics"):
        lerobot.find_stats(tmp_path)


def test_weights_and_units_come_from_one_folder(tmp_path):
    stats = write(tmp_path, "pi0", "MEAN_STD")
    policy = load(tmp_path)
    np.testing.assert_array_equal(policy.normalizer.action.offset, stats["action.mean"])
    output = policy.params["action"]["output"]["action_out_proj"]["kernel"]
    weights = lerobot_pi0.read_weights("pi0")
    np.testing.assert_array_equal(output, -weights["action_out_proj.weight"].T)
    assert policy.config.horizon == pi0_case.HORIZON
