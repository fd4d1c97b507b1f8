"""Tests of the policy: caching, likelihoods, freezing, sharding, and that it learns."""

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from omnivla_jax.core import compile, sharding
from omnivla_jax.flow import drifts, log_prob, path
from omnivla_jax.flow.schedules import Schedule, learned
from omnivla_jax.policy import parameters, policy
from omnivla_jax.policy.heads import flow
from omnivla_jax.policy.heads.base import likelihood_mask
from tests.helpers import unoptimized
from tests.helpers.debug_inputs import (
    BATCH,
    CONFIG,
    chunks,
    observation,
    random_params,
)

SAMPLER = policy.FlowSampler(steps=3, schedule=Schedule(scale=0.5), exec_horizon=2)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params():
    return random_params(CONFIG)


@pytest.fixture(scope="module")
def encode():
    return unoptimized.jit(functools.partial(policy.encode_prefix, config=CONFIG))


@pytest.fixture(scope="module")
def velocity():
    return unoptimized.jit(functools.partial(policy.velocity, config=CONFIG))


def test_experts_are_addressed_by_name(params):
    assert set(params) == {"reasoning", "spatial", "action"}
    assert set(params["action"]) == {"input", "layers", "final_norm", "output"}
    small = parameters.shapes(CONFIG.without_spatial())
    assert set(small) == {"reasoning", "action"}


def test_cache_is_batch_first_and_indexable(params, encode, velocity):
    seen, cache = observation(), encode(params, observation())
    assert {leaf.shape[0] for leaf in cache} == {BATCH}
    order, tau = jnp.array([2, 0, 3, 1]), jnp.linspace(0.1, 0.9, BATCH)
    straight = velocity(params, cache, seen.proprio, chunks(), tau)
    inputs = (cache, seen.proprio, chunks(), tau)
    shuffled = velocity(params, *jax.tree.map(lambda x: x[order], inputs))
    np.testing.assert_allclose(shuffled, straight[order], atol=1e-5)


def test_padding_words_change_nothing(params, encode, velocity):
    seen, tau = observation(), jnp.full(BATCH, 0.5)
    noise = jnp.where(seen.token_mask, seen.tokens, 7)
    first, second = (
        velocity(params, encode(params, o), o.proprio, chunks(), tau)
        for o in (seen, seen._replace(tokens=noise))
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_actions_are_causal_inside_the_chunk(params, encode, velocity):
    seen, tau = observation(), jnp.full(BATCH, 0.5)
    cache = encode(params, seen)
    moved = chunks().at[:, 2].add(1.0)
    before = velocity(params, cache, seen.proprio, chunks(), tau)
    after = velocity(params, cache, seen.proprio, moved, tau)
    changed = jnp.abs(after - before).max(axis=(0, 2)) > 1e-6
    assert changed.tolist() == [False, False, True, True]


def test_sampling_is_deterministic_given_the_key(params, encode):
    seen, cache = observation(), encode(params, observation())
    draw = unoptimized.jit(
        chex.assert_max_traces(policy.sample, n=1), static_argnames=["config", "steps"]
    )
    draw = functools.partial(draw, config=CONFIG, steps=3)
    first, again, other = (
        draw(params, cache, seen.proprio, jax.random.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - other).max()) > 0.1


@pytest.mark.parametrize("steps, drift", [("all", "corrected"), ("one", "cps")])
def test_unchanged_parameters_give_the_sampled_likelihood(params, encode, steps, drift):
    sampler = policy.FlowSampler(
        3,
        Schedule(scale=0.5, floor=0.1),
        drifts.DRIFTS[drift],
        stochastic_steps=steps,
    )
    seen, cache = observation(), encode(params, observation())

    def both(params, cache, state, key):
        named: dict[str, Any] = {"config": CONFIG, "sampler": sampler}
        chain = policy.sample_chain(params, cache, state, key, **named)
        trace = flow.swap_batch_axis(chain)
        return chain, flow.score(params, cache, state, trace, **named)

    chex.clear_trace_counter()  # it counts by name, and this test has two cases
    step = unoptimized.jit(chex.assert_max_traces(both, n=1))
    step(params, cache, seen.proprio, jax.random.key(1))
    chain, score = step(params, cache, seen.proprio, jax.random.key(0))
    recorded = log_prob.recorded_log_prob(chain)
    np.testing.assert_allclose(score.log_prob, recorded.log_prob, atol=1e-3)
    drawn = chain.stochastic.sum(axis=0)
    assert drawn.tolist() == [3 if steps == "all" else 1] * BATCH


def test_learned_noise_comes_from_the_action_expert(params, encode):
    config = dataclasses.replace(CONFIG, noise_head=True, noise_range=(0.1, 0.2))
    sampler = policy.FlowSampler(3, Schedule(learned, scale=1.0), exec_horizon=2)
    seen, cache = observation(), encode(params, observation())
    named: dict[str, Any] = {"config": config, "sampler": sampler}
    with pytest.raises(ValueError, match="needs a noise head.*policy.init_noise"):
        policy.sample_chain(params, cache, seen.proprio, KEY, **named)
    head = compile.jit(policy.init_noise, static_argnames=["config"])(
        KEY, config=config
    )
    head["out"]["kernel"] += 0.1 * jax.random.normal(KEY, head["out"]["kernel"].shape)
    params = params | {"action": params["action"] | {"noise": head}}

    def run(params, cache, state, key):
        chain = policy.sample_chain(params, cache, state, key, **named)

        def total(params):
            trace = flow.swap_batch_axis(chain)
            score = flow.score(params, cache, state, trace, **named)
            return jnp.sum(score.log_prob), score

        slope, score = jax.grad(total, has_aux=True)(params)
        return chain, score, slope["action"]["noise"]

    chain, score, slope = compile.jit(run)(params, cache, seen.proprio, KEY)
    chex.assert_shape(chain.stds, (3, BATCH, CONFIG.horizon, 7))
    assert 0.1 < float(chain.stds.min()) < float(chain.stds.max()) < 0.2
    mask = likelihood_mask(config, sampler.exec_horizon)
    recorded = log_prob.recorded_log_prob(chain, mask=mask)
    np.testing.assert_allclose(score.log_prob, recorded.log_prob, atol=1e-3)
    assert min(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slope)) > 0
    tree = jax.eval_shape(functools.partial(policy.init, config=config), KEY)
    chex.assert_trees_all_equal_shapes(tree["action"]["noise"], head)


def test_only_executed_actions_count(params, encode):
    seen, cache = observation(), encode(params, observation())

    def executed(state, chunk_key):
        named: dict[str, Any] = {"config": CONFIG, "sampler": SAMPLER}
        chain = policy.sample_chain(params, cache, state, chunk_key, **named)
        tail = chain._replace(states=chain.states.at[-1, :, 2:].add(1.0))
        scores = [
            flow.score(params, cache, state, trace, **named).log_prob
            for trace in map(flow.swap_batch_axis, (chain, tail))
        ]
        return scores, log_prob.recorded_log_prob(chain).log_prob

    (whole, tail), every = unoptimized.jit(executed)(seen.proprio, jax.random.key(0))
    np.testing.assert_allclose(whole, tail, atol=1e-4)
    assert float(jnp.abs(whole - every).min()) > 1e-2


def test_every_parameter_has_its_place(params):
    # That they hold the same values there is for `policy_devices.py` to show.
    places = policy.shardings(sharding.make_mesh(), CONFIG)
    chex.assert_trees_all_equal_structs(places, params)
    kernel = places["action"]["layers"]["attn"]["q_einsum"].spec
    assert tuple(kernel) == (None, "tensor", "fsdp", None)


@pytest.mark.slow
def test_debug_policy_overfits_four_samples(params):
    seen, target = observation(), chunks(5)
    optimizer = optax.adam(3e-3)

    def loss(params, key):
        noise_key, tau_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, target.shape)
        tau = jax.random.uniform(tau_key, (BATCH,))
        cache = policy.encode_prefix(params, seen, config=CONFIG)
        mixed = path.interpolate(noise, target, tau)
        v = policy.velocity(params, cache, seen.proprio, mixed, tau, config=CONFIG)
        return jnp.mean((v - path.target_velocity(noise, target)) ** 2)

    def update(carry, key):
        value, gradient = jax.value_and_grad(loss)(carry[0], key)
        change, moments = optimizer.update(gradient, carry[1])
        return (optax.apply_updates(carry[0], change), moments), value

    def train(params, key):
        carry = (params, optimizer.init(params))
        (params, _), losses = jax.lax.scan(update, carry, jax.random.split(key, 400))
        cache = policy.encode_prefix(params, seen, config=CONFIG)
        named: dict[str, Any] = {"config": CONFIG, "steps": 5}
        return losses, policy.sample(params, cache, seen.proprio, key, **named)

    losses, drawn = unoptimized.jit(train)(params, jax.random.key(0))
    assert float(losses[-20:].mean()) < 0.2 * float(losses[:20].mean())
    assert float(jnp.mean((drawn - target) ** 2)) < 0.2


def test_row_keys_draw_the_same_in_any_batch(params, encode):
    """Up to rounding, which differs from one width to another."""
    seen, keys = observation(), jax.random.split(KEY, BATCH)
    cache = encode(params, seen)
    draw = unoptimized.jit(functools.partial(policy.sample, config=CONFIG, steps=2))
    whole = draw(params, cache, seen.proprio, keys)
    for rows in (slice(0, 2), slice(1, 3)):
        few = jax.tree.map(lambda x: x[rows], (cache, seen.proprio, keys))
        np.testing.assert_allclose(draw(params, *few), whole[rows], atol=1e-5)
    other = draw(params, cache, seen.proprio, keys[::-1])
    assert float(jnp.abs(other - whole).max()) > 0.1
    with pytest.raises(AssertionError):
        draw(params, cache, seen.proprio, keys[:2])


def test_no_retrace(params):
    def run(params, seen, chunk, tau):
        cache = policy.encode_prefix(params, seen, config=CONFIG)
        return policy.velocity(params, cache, seen.proprio, chunk, tau, config=CONFIG)

    run = compile.jit(chex.assert_max_traces(run, n=1))
    for seed in range(2):
        run(params, observation(seed), chunks(seed), jnp.full(BATCH, 0.1 * seed))


def test_the_critic_is_apart_from_the_policy(params, encode):
    seen, cache = observation(), encode(params, observation())
    with pytest.raises(ValueError, match="have no critic: add one.*init_value"):
        policy.value(params, cache, seen.proprio, config=CONFIG)
    critic = compile.jit(policy.init_value, static_argnames=["config"])(
        KEY, config=CONFIG
    )
    critic["out"]["kernel"] += 1.0  # fresh, it says 0
    joint = params | {"value": critic}

    def total(params):
        cache = policy.encode_prefix(params, seen, config=CONFIG)
        worth = policy.value(params, cache, seen.proprio, config=CONFIG)
        chex.assert_shape(worth, (BATCH,))
        return jnp.sum(worth**2), worth

    slope, worth = compile.jit(jax.grad(total, has_aux=True))(joint)
    assert worth.dtype == jnp.float32 and float(jnp.std(worth)) > 1e-3
    alone = policy.value({"value": critic}, cache, seen.proprio, config=CONFIG)
    np.testing.assert_allclose(worth, alone, rtol=1e-4, atol=1e-5)
    sizes = {
        name: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
        for name, tree in slope.items()
    }
    assert sizes.pop("value") > 0
    assert sizes == {"reasoning": 0.0, "spatial": 0.0, "action": 0.0}
    places = policy.value_shardings(sharding.make_mesh(), CONFIG)
    chex.assert_trees_all_equal_structs(places, critic)
    assert tuple(places["hidden"]["kernel"].spec) == ("fsdp", "tensor")
