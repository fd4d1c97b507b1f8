"""Published checkpoints are played as openpi plays them, whatever form they have."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import sharding
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import inference, norm_stats
from omnivla_jax.policy.pretrained import published
from tests.helpers.pretrained import fakes, lerobot_pi0, published_folder, tiny

BASE = configs.preset("debug").without_spatial()
LIBERO = ("pi0_libero", "pi05_libero")


def load(name, folder, base=BASE, **options):
    return published.load_policy(
        name, folder, base=base, mesh=sharding.make_mesh(), **options
    )


@pytest.fixture(scope="module", params=published.RECIPES)
def found(request, tmp_path_factory):
    """A name, its folder and the policy in it."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    published_folder.write(folder, name, BASE)
    stats = folder / published_folder.ASSETS / "norm_stats.json"
    loaded = load(name, folder, stats=None if name in LIBERO else stats)
    return name, folder, loaded


@pytest.fixture(scope="module")
def infer(found):
    """infer(observation, **changes of the config) -> a chunk; compiles once each."""
    _, _, policy = found

    @functools.cache
    def actor(config):
        spec = inference.PolicySpec(config, 5, 2)
        return inference.Policy(policy.params, policy.normalizer, spec)

    def sample(observation, **changes):
        config = dataclasses.replace(policy.config, **changes)
        return actor(config).infer(observation)["actions"]

    return sample


def observation():
    random, size = np.random.default_rng(0), BASE.vision.image_size
    return {
        "images": random.integers(0, 256, (2, size, size, 3), np.uint8),
        "state": random.uniform(-0.5, 0.5, 8).astype(np.float32),
        "prompt": "open it",
    }


def test_chunks_are_as_published(found, infer):
    name, _, policy = found
    horizon = 10 if name == "pi05_libero" else 50
    chunk = infer(observation())
    assert chunk.shape == (horizon, 7) and np.isfinite(chunk).all()
    assert policy.config.action_dim == 32 and policy.recipe.exec_horizon == 5


def test_the_policy_sees_openpi_pictures(infer):
    upright, turned = observation(), observation()
    turned["images"] = turned["images"][:, :, ::-1]  # openpi's lie mirrored
    expected = infer(turned, image_convention="upright")
    np.testing.assert_array_equal(infer(upright), expected)
    other = infer(upright, image_convention="upright")
    assert np.abs(other - expected).max() > 1e-3


def test_pi0_libero_adds_the_state_once_more(found, infer):
    name, _, _ = found
    seen = observation()
    moved = infer(seen) - infer(seen, delta_mask=())
    expected = [*seen["state"][:6], 0] if name == "pi0_libero" else np.zeros(7)
    np.testing.assert_allclose(moved, np.tile(expected, (len(moved), 1)), atol=1e-5)


def test_who_reads_the_state_and_where(found, infer):
    """pi0 a token, pi05_base the prompt, pi05_libero nowhere."""
    name, _, policy = found
    one, other = observation(), observation()
    other["state"] = -other["state"]
    plain = {"delta_mask": ()}
    differs = np.abs(infer(one, **plain) - infer(other, **plain)).max()
    assert (differs > 1e-4) == (name != "pi05_libero")
    config = policy.config
    assert config.proprio_token == name.startswith("pi0_")
    assert config.state_in_prompt == (name == "pi05_base")


def test_units_are_those_of_the_file(found):
    name, folder, policy = found
    mode = "mean_std" if name.startswith("pi0_") else "quantiles"
    path = folder / published_folder.ASSETS / "norm_stats.json"
    expected = norm_stats.read(path, mode, proprio_dim=8, action_dim=7)
    for ours, theirs in zip(*map(jax.tree.leaves, (policy.normalizer, expected))):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", LIBERO)
def test_pytorch_files_are_told_by_their_folder(tmp_path, name):
    model = published.RECIPES[name].model
    weights = {  # bfloat16, as openpi's converter writes
        name: weight.astype(jnp.bfloat16)
        for name, weight in lerobot_pi0.read_weights(model).items()
    }
    fakes.write_safetensors(tmp_path / "model.safetensors", weights, "BF16")
    published_folder.write_stats(tmp_path / published_folder.ASSETS / "norm_stats.json")
    policy = load(name, tmp_path, tiny.PI0_CASE, tokenizer="words")
    output = policy.params["action"]["output"]["action_out_proj"]["kernel"]
    expected = -weights["action_out_proj.weight"].T.astype(np.float32)
    np.testing.assert_array_equal(output, expected)


def test_what_is_missing_is_one_line(found, tmp_path):
    name, folder, _ = found
    (tmp_path / "params").symlink_to(folder / "params")
    with pytest.raises(ValueError, match="holds no paligemma_tokenizer.model"):
        load(name, tmp_path)
    with pytest.raises(ValueError) as error:
        load(name, tmp_path, tokenizer="words")
    words = "download the folder `assets`" if name in LIBERO else "not trained on LIB"
    assert words in str(error.value) and "--norm_stats" in str(error.value)
    with pytest.raises(ValueError, match="There is nothing at"):
        load(name, tmp_path / "absent")
    with pytest.raises(ValueError, match="choose one of pi0_libero, pi05_libero"):
        load("pi0_kitchen", folder)


def test_other_statistics_are_named(found, tmp_path):
    name, folder, _ = found
    (tmp_path / "params").symlink_to(folder / "params")
    other = tmp_path / "assets" / "trossen" / "norm_stats.json"
    published_folder.write_stats(other)
    if name in LIBERO:
        with pytest.raises(ValueError, match=f"there is {other}"):
            load(name, tmp_path, tokenizer="words")
    assert load(name, tmp_path, tokenizer="words", stats=other).normalizer
