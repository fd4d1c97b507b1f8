"""Tests of omnivla_jax.train.sft: targets, learning, resuming, no retracing."""

import dataclasses
import functools

import chex
import jax
import numpy as np
import pytest

from data_pipelines import streaming
from omnivla_jax.policy import normalize
from omnivla_jax.policy.config import preset
from omnivla_jax.train import loop, rng, sft, sft_data, state
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import reaching, unoptimized

CONFIG = preset("debug").without_spatial()
SETTINGS = sft.SftConfig(
    OptimizerConfig(learning_rate=3e-3, warmup_steps=5),
    steps=100,
    batch_size=16,
    draws=2,
    steps_per_call=10,
    ema_decay=0.9,
)


@pytest.fixture(scope="module")
def trained():
    """The data, a compiled step and the states of a short run."""
    episodes = reaching.demonstrations()
    normalizer = sft_data.fit_normalizer(episodes)
    dataset = sft_data.make_dataset(episodes, normalizer, config=CONFIG)
    step = sft.make_step(CONFIG, SETTINGS)

    def fresh(seed=0):
        key = rng.named_key(seed, "init")
        params = sft.fresh_params(key, CONFIG)
        return sft.create(params, normalizer, SETTINGS, seed=seed)

    return dataset, step, fresh


@pytest.mark.slow
def test_loss_falls_and_the_step_traces_once(trained):
    dataset, step, fresh = trained
    state, history = loop.run(
        lambda state: step(state, dataset),
        fresh(),
        steps=10,
        save=lambda *_: None,
        save_every=100,
    )
    assert step._cache_size() == 1
    losses = [row["loss"] for row in history]
    assert losses[-1] < 0.6 * losses[0], losses
    assert int(state.step) == 100
    moved = jax.tree.map(
        lambda a, p: float(abs(a - p).max()), state.ema_params, state.params
    )
    assert 0 < max(jax.tree.leaves(moved)) < 1


@pytest.mark.slow
def test_runs_depend_on_seed_and_step(trained):
    dataset, step, fresh = trained
    whole, _ = step(step(fresh(1), dataset)[0], dataset)
    halfway, _ = step(fresh(1), dataset)
    copied = jax.tree.map(lambda x: jax.numpy.asarray(np.asarray(x)), halfway)
    resumed, _ = step(copied, dataset)
    chex.assert_trees_all_equal(whole, resumed)


@pytest.mark.slow
def test_adapters_alone_lower_the_loss(trained):
    dataset, _, _ = trained
    settings = dataclasses.replace(SETTINGS, trainable="lora:r=2", steps_per_call=50)
    normalizer = sft_data.fit_normalizer(reaching.demonstrations())
    params = sft.fresh_params(rng.named_key(0, "init"), CONFIG)
    before = sft.create(params, normalizer, settings, seed=0)
    step = sft.make_step(CONFIG, settings)
    middle, first = step(before, dataset)
    after, last = step(middle, dataset)
    assert float(last["loss"]) < 0.8 * float(first["loss"])
    chex.assert_trees_all_equal(after.params["reasoning"], params["reasoning"])
    handed_on = state.eval_params(after)
    chex.assert_trees_all_equal_structs(handed_on, params)
    moved = handed_on["reasoning"]["layers"]["attn"]["q_einsum"]
    start = params["reasoning"]["layers"]["attn"]["q_einsum"]
    assert float(jax.numpy.abs(moved - start).max()) > 1e-3


def test_steps_must_fill_whole_calls():
    with pytest.raises(ValueError, match="steps=5 must be a multiple"):
        sft.SftConfig(OptimizerConfig(1e-3), steps=5, steps_per_call=2)


def streamed(fresh, demonstrations, frames, config=CONFIG, **changes):
    """The loss and gradient norm of one streamed call, and the state after it."""
    texts, table = sft_data.instruction_table(demonstrations, config)
    settings = dataclasses.replace(SETTINGS, **changes)
    step = sft.make_streamed_step(config, settings, table)
    source = streaming.TrainingFrames(
        demonstrations, texts, horizon=CONFIG.horizon, padding="hold", seed=0
    )
    rows = [(i, t) for i, d in enumerate(demonstrations) for t in range(len(d.action))]
    drawn = [[source.frame(*rows[row]) for row in batch] for batch in frames]
    batches = jax.tree.map(
        lambda *leaves: np.stack(leaves).reshape(*frames.shape, *leaves[0].shape),
        *[frame for batch in drawn for frame in batch],
    )
    return step(fresh(), batches)


@pytest.mark.slow
def test_streamed_batches_learn_as_the_dataset(trained):
    dataset, step, fresh = trained
    demonstrations = reaching.demonstrations()
    before = fresh()
    frames = []
    for count in range(SETTINGS.steps_per_call):
        key, _ = sft._step_keys(before.seed, before.step + count)
        total = len(dataset.chunk)
        frames.append(jax.random.randint(key, (SETTINGS.batch_size,), 0, total))
    _, found = streamed(fresh, demonstrations, np.stack(frames))
    _, expected = step(before, dataset)
    # Not the parameters: Adam makes steps of the rounding where a gradient is 0.
    for name in ("loss", "grad_norm"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


def test_drawn_rows_are_those_of_the_dataset(trained):
    dataset, _, fresh = trained
    before, total = fresh(3), len(dataset.chunk)
    rows = sft.drawn_rows(3, SETTINGS, total).reshape(SETTINGS.steps, -1)
    marked = dataset._replace(chunk=jax.numpy.arange(total))
    for step in (0, 7, SETTINGS.steps - 1):
        key, _ = sft._step_keys(before.seed, before.step + step)
        _, drawn, _ = sft_data.draw(key, marked, SETTINGS.batch_size)
        np.testing.assert_array_equal(rows[step], drawn)


@pytest.mark.slow
def test_streamed_batches_take_the_state_from_actions(trained):
    _, _, fresh = trained
    demonstrations, before = reaching.demonstrations(), fresh()
    mask = (True,) + (False,) * (CONFIG.action_dim - 1)
    config, maps = dataclasses.replace(CONFIG, delta_mask=mask), before.normalizer
    relative = sft_data.make_dataset(demonstrations, maps, config=config)
    plain = sft_data.make_dataset(demonstrations, maps, config=CONFIG)
    moved = (plain.chunk - relative.chunk) * maps.action.scale
    state = normalize.unnormalize(maps.state, plain.state)
    np.testing.assert_allclose(moved[:, 0, 0], state[:, 0], atol=1e-4)
    np.testing.assert_allclose(moved[..., 1:], 0, atol=1e-6)
    key, loss_key = sft._step_keys(before.seed, before.step)
    observation, chunk, _ = sft_data.draw(key, relative, 2)
    loss = unoptimized.jit(functools.partial(sft.loss, draws=2, config=config))(
        before.params, loss_key, observation, chunk
    )
    frames = jax.random.randint(key, (2,), 0, len(relative.chunk))
    one = {"batch_size": 2, "steps": 1, "steps_per_call": 1}
    _, found = streamed(fresh, demonstrations, np.array([frames]), config, **one)
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-5)


def test_the_loss_is_the_mean_over_unmasked_actions(trained):
    dataset, _, fresh = trained
    observation, chunk, _ = sft_data.draw(jax.random.key(0), dataset, 4)
    params = fresh().params

    @unoptimized.jit
    def loss(mask):
        key = jax.random.key(1)
        options = {"draws": 2, "config": CONFIG, "loss_mask": mask}
        return sft.loss(params, key, observation, chunk, **options)

    columns = [np.arange(CONFIG.horizon)[None] == h for h in range(CONFIG.horizon)]
    losses = [float(loss(np.repeat(column, 4, axis=0))) for column in columns]
    assert len(set(losses)) == CONFIG.horizon
    np.testing.assert_allclose(np.mean(losses), loss(None), rtol=1e-5)


@pytest.fixture(scope="module")
def spatial_updates(trained):
    """A batch, a state with a spatial expert, and one optimizer step under options."""
    dataset, _, fresh = trained
    config = preset("debug")
    params = sft.fresh_params(rng.named_key(0, "init"), config)
    batch = sft_data.draw(jax.random.key(0), dataset, 4)

    def update(geometry_loss=None, **options):
        settings = dataclasses.replace(SETTINGS, **options)
        before = sft.create(params, fresh().normalizer, settings, seed=0)
        step = unoptimized.jit(
            lambda before: sft._update(
                before, jax.random.key(1), batch, config, settings, geometry_loss
            )
        )
        after, metrics = step(before)
        moved = jax.tree.map(lambda a, b: a - b, after.params, before.params)
        return moved, metrics

    return update


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_the_spatial_encoder_has_its_own_rate(spatial_updates, rate):
    whole, _ = spatial_updates()
    changed, _ = spatial_updates(spatial_encoder_rate=rate)
    encoder = whole["spatial"].pop("encoder")
    expected = jax.tree.map(lambda x: rate * x, encoder)
    # Freezing leaves a smaller gradient to clip: the others then move further.
    found = changed["spatial"].pop("encoder")
    chex.assert_trees_all_close(found, expected, atol=1e-6)
    if rate:
        chex.assert_trees_all_close(changed, whole, atol=1e-6)


def test_a_kept_geometry_loss_has_its_weight(spatial_updates):
    def pull(params, key):
        del key
        return 1e3 * params["spatial"]["final_norm"]["scale"].sum()

    plain, metrics = spatial_updates()
    assert "geometry_loss" not in metrics
    pulled, metrics = spatial_updates(geometry_loss=pull, geometry_weight=10.0)
    assert metrics["geometry_loss"] == 0
    scales = pulled["spatial"]["final_norm"]["scale"]
    assert (scales < 0).all()
    assert not (plain["spatial"]["final_norm"]["scale"] < 0).all()


def test_wrong_options_of_stage_one_are_refused():
    with pytest.raises(ValueError, match="spatial_encoder_rate=2.0 must lie in"):
        dataclasses.replace(SETTINGS, spatial_encoder_rate=2.0)
    with pytest.raises(ValueError, match="geometry_weight=-1.0 not below 0"):
        dataclasses.replace(SETTINGS, geometry_weight=-1.0)
