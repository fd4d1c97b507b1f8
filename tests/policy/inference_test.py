"""Tests of omnivla_jax.policy.inference on checkpoints of the debug policy."""

import dataclasses
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from openpi_client import image_tools

from omnivla_jax.core import compile as compilation
from omnivla_jax.core import orientation
from omnivla_jax.core.types import Observation
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import inference, lora, normalize
from omnivla_jax.policy.tokenizers import registry
from omnivla_jax.train import checkpoints, sft, state
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers.debug_inputs import random_params

CONFIG = configs.preset("debug")
SPEC = inference.PolicySpec(CONFIG, 2, 3, instructions=("open the drawer",))
PROMPTS = ["open the drawer", "push the plate"]
SFT = sft.SftConfig(OptimizerConfig(1e-3), 10, ema_decay=0.9, trainable="lora:r=2")


def make_state():
    """A training state with adapters that change the policy, and a normalizer."""
    units = normalize.Normalizer(
        normalize.Affine(jnp.linspace(-1, 1, 8), jnp.full(8, 0.5)),
        normalize.Affine(jnp.linspace(0, 1, 7), jnp.full(7, 2.0)),
    )
    created = sft.create(random_params(CONFIG), units, config=SFT, seed=0)
    ones = jax.tree.map(lambda x: x + 0.01, created.ema_params[lora.LORA])
    return dataclasses.replace(
        created, ema_params={**created.ema_params, lora.LORA: ones}
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a stage's checkpoints, and the state in it."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints" / "sft"
    train_state = make_state()
    checkpoints.save(folder, train_state, [{"loss": 1.0}], policy=SPEC.to_json())
    return folder, train_state


@pytest.fixture(scope="module")
def loaded(saved):
    return inference.load(saved[0])


def observation(batch=2):
    keys = jax.random.split(jax.random.key(2))
    size = CONFIG.vision.image_size
    shape = (batch, CONFIG.views, size, size, 3)
    return {
        "images": np.asarray(jax.random.randint(keys[0], shape, 0, 256), np.uint8),
        "state": np.asarray(jax.random.normal(keys[1], (batch, 8))),
        "prompt": PROMPTS[:batch],
    }


def one(row=0):
    batch = observation()
    return {name: value[row] for name, value in batch.items()}


def test_actions_are_those_of_trainings_deterministic_actor(saved, loaded):
    _, train_state = saved
    inputs, keys = observation(), jax.random.split(jax.random.key(3), 2)
    encode = registry.make_tokenizer(CONFIG)
    tokens, mask = zip(*(encode(text, CONFIG.max_tokens) for text in PROMPTS))
    arrays = (inputs["images"], *map(np.stack, (tokens, mask)), inputs["state"])
    seen = Observation(*map(jnp.asarray, arrays))
    agent = Agent(CONFIG, lambda env, rows: seen, train_state.normalizer)
    params, rows = state.eval_params(train_state), jnp.arange(2)

    def act(keys):
        return agent.act_deterministic(
            params, None, keys, instruction_id=rows, steps=SPEC.ode_steps
        )

    expected = compilation.jit(act, fused=True)(keys)
    found = loaded.infer(inputs, key=keys)["actions"]
    assert found.dtype == np.float32 and found.shape == (2, CONFIG.horizon, 7)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_one_observation_is_a_row_of_the_batch(loaded):
    key = jax.random.key(4)
    single = loaded.infer(one(1), key=key)["actions"]
    assert single.shape == (CONFIG.horizon, 7)
    keys = jnp.stack([jax.random.key(5), key])
    batch = loaded.infer(observation(), key=keys)["actions"]
    np.testing.assert_allclose(batch[1], single, atol=1e-4)
    assert not np.allclose(batch[0], batch[1], atol=1e-3)


@pytest.mark.slow
def test_it_is_deterministic_and_compiles_once_a_shape(saved, monkeypatch):
    chex.clear_trace_counter()
    counted = chex.assert_max_traces(inference._sample_actions, n=2)
    monkeypatch.setattr(inference, "_sample_actions", counted)
    fresh = inference.load(saved[0])
    for _ in range(2):
        assert (fresh.infer(one())["actions"] == fresh.infer(one())["actions"]).all()
        fresh.infer(observation())
    other = fresh.infer(one(), key=jax.random.key(9))["actions"]
    assert not np.allclose(other, fresh.infer(one())["actions"], atol=1e-3)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"prompt": None}, "lacks prompt: it needs images, state, prompt"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8)}, r"uint8 \[2, 16, 16, 3\]"),
        ({"images": np.zeros((2, 16, 16, 3))}, r"images is float64 \[2, 16, 16, 3\]"),
        ({"state": np.zeros(7)}, r"state is float64 \[7\].*\[8\]"),
        ({"state": np.array([0.0] * 7 + [np.nan])}, r"state\[7\] is nan"),
        ({"prompt": "open " * 9}, "needs 10 tokens.*max_tokens"),
        ({"prompt": ""}, "holds no word"),
        ({"prompt": PROMPTS}, "one for each of the 1 observations"),
    ],
)
def test_a_wrong_observation_is_one_clear_line(loaded, change, words):
    wrong = {k: v for k, v in {**one(), **change}.items() if v is not None}
    with pytest.raises(ValueError, match=words) as error:
        loaded.infer(wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("convention", ["upright", "openpi"])
def test_published_policies_fit_pictures_as_in_training(convention):
    config = dataclasses.replace(CONFIG, image_convention=convention)
    spec = inference.PolicySpec(config, 2, 3, fit_pictures=True)
    params, units = random_params(config), make_state().normalizer
    fitting = inference.Policy(params, units, spec)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 30, 45, 3), np.uint8)
    seen = orientation.convert_image_convention(pictures, convention)
    size = config.vision.image_size
    fitted = np.stack([image_tools.resize_with_pad(x, size, size) for x in seen])
    expected = orientation.convert_image_convention(fitted, convention)
    inputs, _ = fitting.prepare({**one(), "images": pictures})
    np.testing.assert_array_equal(inputs.images[0], expected)
    batch = {**observation(), "images": np.stack([pictures, pictures])}
    np.testing.assert_array_equal(fitting.prepare(batch)[0].images[1], expected)
    given = one()
    np.testing.assert_array_equal(fitting.prepare(given)[0].images[0], given["images"])
    for wrong in (pictures[..., :1], pictures[0], pictures.astype(float)):
        with pytest.raises(ValueError, match="but the policy takes"):
            fitting.prepare({**one(), "images": wrong})


@pytest.mark.parametrize("preset", configs.PRESETS)
@pytest.mark.parametrize("spatial", [True, False])
def test_a_spec_survives_json(preset, spatial):
    config = configs.preset(preset)
    spec = inference.PolicySpec(config if spatial else config.without_spatial(), 4, 10)
    content = json.loads(json.dumps(spec.to_json()))
    assert inference.PolicySpec.from_json(content) == spec
    with pytest.raises(ValueError, match="no field 'wings'.*another version"):
        inference.PolicySpec.from_json({**content, "wings": 2})


def test_only_items_for_inference_are_read(saved, loaded, tmp_path):
    copy = tmp_path / "published"
    newest = checkpoints.latest(saved[0])
    assert newest is not None
    shutil.copytree(newest, copy)
    for item in ("train_state", "history"):
        shutil.rmtree(copy / item)
    again = inference.load(copy).infer(one())["actions"]
    np.testing.assert_array_equal(again, loaded.infer(one())["actions"])
    assert loaded.spec == SPEC


def test_what_cannot_be_loaded_is_one_clear_line(saved, tmp_path):
    weights = tmp_path / "weights"
    checkpoints.save(weights, saved[1].params, [])
    other = dataclasses.replace(SPEC, config=CONFIG.without_spatial())
    checkpoints.save(tmp_path / "other", saved[1], [], policy=other.to_json())
    for load, words in (
        (lambda: inference.load(tmp_path / "none"), "does not exist"),
        (lambda: inference.load(weights), "without the description of their policy"),
        (lambda: inference.load(tmp_path / "other"), "spatial.* instead of absent"),
        (lambda: inference.load(saved[0], tokenizer="no/model"), "no SentencePiece"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            load()
        assert "\n" not in str(error.value)
