"""Tests of the policy's benchmark: FLOPs by hand and beside XLA's, and that it runs."""

import functools

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks.lib import flops, policy_timing
from omnivla_jax.policy import parameters
from omnivla_jax.policy.config import preset


def chain(x, weight, unroll):
    def layer(x, _):
        return jnp.tanh(x @ weight), None

    return jax.lax.scan(layer, x, length=5, unroll=unroll)[0]


def test_loops_count_as_often_as_they_run():
    x, weight = jnp.ones((64, 32)), jnp.ones((32, 32))
    by_hand = 5 * 2 * 64 * 32 * 32
    assert flops.count(lambda x: chain(x, weight, 1), x) == by_hand
    unrolled = jax.jit(chain, static_argnames="unroll").lower(x, weight, unroll=5)
    theirs = unrolled.compile().cost_analysis()
    assert theirs is not None
    assert theirs["flops"] == pytest.approx(by_hand, rel=0.1)
    gradient = jax.grad(lambda w: chain(x, w, 1).sum())
    assert flops.count(gradient, weight) == pytest.approx(3 * by_hand, rel=0.1)


@pytest.mark.slow
def test_the_debug_policy_is_measured():
    found = policy_timing.measure(preset("debug"), batch=2, steps=2)
    times = ("prefix_ms", "denoising_step_ms", "chunk_ms", "training_step_ms")
    assert all(found[name] > 0 for name in times)
    assert found["prefix_tokens"] == policy_timing.tokens(preset("debug")) - 5
    assert found["peak_source"] == "measured" and 0 < found["mfu"] < 1
    assert found["tokens_per_second"] > 0 and found["peak_memory_mib"] > 0


@pytest.mark.slow
def test_full_trains_with_four_numbers_a_parameter():
    """By shapes alone, in which a step is lowered and its FLOPs are counted."""
    config = preset("full")
    step, init = policy_timing.sft_step(config, batch=1)
    start = jax.eval_shape(init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(parameters.shapes(config)))
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(start))
    assert 12 * count <= held < 12 * count + 2**10  # counters, units
    assert held + 4 * count < 67 * 2**30
    data = jax.eval_shape(functools.partial(policy_timing.random_dataset, config, 1))
    lowered = step.lower(start, data)
    taken, _ = lowered.args_info[0]
    assert all(leaf.donated for leaf in jax.tree.leaves(taken))
    assert policy_timing.training_flops(config, batch=1) > 6 * count
