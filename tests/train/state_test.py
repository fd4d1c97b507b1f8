"""Tests of omnivla_jax.train.state: what the optimizer trains, and how fast."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.train import state
from omnivla_jax.train.state import OptimizerConfig


def test_frozen_parameters_stay_bit_for_bit():
    params = {"a": jnp.array([-0.0, 1.0]), "b": jnp.ones(2)}
    trained = {"a": False, "b": True}
    optimizer = state.make_optimizer(OptimizerConfig(1e-2, warmup_steps=2), trained)
    opt_state = optimizer.init(params)
    assert sum(leaf.ndim for leaf in jax.tree.leaves(opt_state)) == 2  # mu and nu of b
    updates, _ = optimizer.update(params, opt_state, params)
    after = state.apply(params, updates, trained)
    assert np.signbit(after["a"][0]) and (after["b"] < 1).all()


def test_the_learning_rate_rises_then_falls():
    config = OptimizerConfig(1.0, warmup_steps=4, decay_steps=12, final_fraction=0.1)
    rate = state.schedule(config)
    values = [float(rate(step)) for step in range(13)]
    np.testing.assert_allclose(values[:5], [0.25, 0.4375, 0.625, 0.8125, 1.0])
    np.testing.assert_allclose(values[12], 0.1, atol=1e-6)
    with pytest.raises(ValueError, match="decay_steps=4"):
        OptimizerConfig(1.0, warmup_steps=4, decay_steps=4)


def test_a_state_owns_its_seed():
    """Training donates a state; what it was made from stays usable."""
    seed, params = jnp.asarray(3, jnp.uint32), {"a": jnp.ones(2)}
    optimizer = state.make_optimizer(OptimizerConfig(1e-2), {"a": True})
    made = state.create(params, None, optimizer, seed=seed)
    jax.tree.map(lambda leaf: leaf.delete(), made)
    assert int(seed) == 3 and float(params["a"].sum()) == 2
