"""Stage I on a toy whose depth is its brightness: learning, freezing, retracing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core.types import Geometry, GeometryBatch, Observation
from omnivla_jax.policy import lora
from omnivla_jax.policy.config import preset
from omnivla_jax.train import rng, sft, spatial
from omnivla_jax.train.spatial.step import trained_mask
from omnivla_jax.train.state import OptimizerConfig
from omnivla_jax.world.geometry import points_of_depth

CONFIG = preset("debug")
SETTINGS = spatial.SpatialConfig(
    OptimizerConfig(learning_rate=3e-3, warmup_steps=10, clip_norm=10.0),
    steps=120,
    batch_size=16,
    steps_per_call=10,
    decoder_depth=1,
)
SIDE = CONFIG.vision.image_size


def draw_scenes(keys):
    """Walls at a random depth each, brighter where they are nearer."""

    def one(key):
        depth = jax.random.uniform(key, (2,), minval=0.5, maxval=2.0)
        return jnp.broadcast_to(depth[:, None, None], (2, SIDE, SIDE))

    depth = jax.vmap(one)(keys)
    batch = len(keys)
    bright = jnp.broadcast_to((120 / depth)[..., None], (*depth.shape, 3))
    observation = Observation(
        images=bright.astype(jnp.uint8),
        tokens=jnp.zeros((batch, CONFIG.max_tokens), jnp.int32),
        token_mask=jnp.ones((batch, CONFIG.max_tokens), bool),
        proprio=jnp.zeros((batch, CONFIG.proprio_dim)),
    )
    facing = jnp.array([0.0, 0.0, -1.0])[:, None, None]
    geometry = Geometry(
        points=points_of_depth(depth, jnp.full((batch, 2), 45.0)),
        normals=jnp.broadcast_to(facing, (batch, 2, 3, SIDE, SIDE)),
        rotation=jnp.broadcast_to(jnp.eye(3), (batch, 2, 3, 3)),
        translation=jnp.zeros((batch, 2, 3)).at[:, 1, 0].set(0.1),
    )
    return GeometryBatch(observation, geometry, jnp.ones(depth.shape, bool))


@pytest.fixture(scope="module")
def params():
    return sft.fresh_params(rng.named_key(0, "init"), CONFIG)


@pytest.fixture(scope="module")
def trained(params):
    step = spatial.make_step(draw_scenes, SETTINGS, CONFIG)
    state = spatial.create(params, None, SETTINGS, CONFIG, seed=0)
    history = []
    for _ in range(12):
        state, metrics = step(state)
        history.append(jax.device_get(metrics))
    return step, state, history


@pytest.mark.slow
def test_the_loss_falls_and_the_step_traces_once(trained):
    step, _, history = trained
    assert step._cache_size() == 1
    first, last = history[0], history[-1]
    assert last["loss"] < 0.6 * first["loss"], (first, last)
    assert last["points_loss"] < 0.5 * first["points_loss"]


@pytest.mark.slow
def test_held_out_scenes_are_judged(trained, params):
    _, state, _ = trained
    evaluate = spatial.make_evaluate(SETTINGS, CONFIG)
    batch = draw_scenes(jax.random.split(jax.random.key(99), 8))
    fresh = spatial.create(params, None, SETTINGS, CONFIG, seed=0)
    before, _ = evaluate(fresh.params, batch)
    after, aligned = evaluate(state.params, batch)
    assert after["abs_rel"].mean() < 0.7 * before["abs_rel"].mean()
    assert aligned.true.points.shape == (8, 2, 3, SIDE, SIDE)


@pytest.mark.slow
def test_only_the_action_expert_is_frozen(trained, params):
    _, state, _ = trained
    changed = jax.tree.map(
        lambda a, b: bool((a != b).any()), state.params["action"], params["action"]
    )
    assert not any(jax.tree.leaves(changed))
    for expert in ("reasoning", "spatial"):
        moved = jax.tree.map(
            lambda a, b: bool((a != b).any()),
            state.params[expert]["layers"],
            params[expert]["layers"],
        )
        assert any(jax.tree.leaves(moved))


@pytest.mark.slow
def test_the_decoder_is_dropped_afterwards(trained, params):
    _, state, _ = trained
    acting = lora.acting_params(state.params)
    assert set(acting) == set(params)
    assert spatial.DECODER in state.params


@pytest.mark.slow
def test_a_frozen_encoder_trains_its_projection(params):
    state = spatial.create(params, None, SETTINGS, CONFIG, seed=0)
    frozen = dataclasses.replace(SETTINGS, frozen_encoder=True)
    mask = trained_mask(state.params, frozen)["spatial"]["encoder"]
    assert not any(jax.tree.leaves(mask["aggregator"]))
    assert all(jax.tree.leaves(mask["head"]))


@pytest.mark.slow
def test_resuming_repeats_the_uninterrupted_run(trained, params):
    step, _, history = trained
    half = spatial.create(params, None, SETTINGS, CONFIG, seed=0)
    half, _ = step(half)
    copied = jax.tree.map(lambda leaf: jnp.asarray(np.array(leaf)), half)
    _, metrics = step(copied)
    assert metrics["loss"] == history[1]["loss"]


def test_a_policy_without_spatial_expert_is_refused(params):
    with pytest.raises((ValueError, AssertionError)):
        spatial.create(params, None, SETTINGS, CONFIG.without_spatial(), seed=0)


def test_steps_must_be_whole_calls():
    with pytest.raises(ValueError, match="steps=121 must be a multiple"):
        dataclasses.replace(SETTINGS, steps=121)
