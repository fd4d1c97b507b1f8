"""Tests of the action expert's ends: nothing is rounded before the transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import precision
from omnivla_jax.models.heads.flow_action import TIME_CONDITIONING

WIDTH = 16


@pytest.mark.parametrize("name", TIME_CONDITIONING)
def test_a_bfloat16_suffix_is_the_float32_one_rounded(monkeypatch, name):
    keys = jax.random.split(jax.random.key(0), 3)
    module = TIME_CONDITIONING[name](WIDTH, True)
    inputs = (
        jax.random.normal(keys[0], (2, 8)),
        jax.random.normal(keys[1], (2, 5, 7)),
        jnp.array([0.3, 0.7]),  # whose sines need more than bfloat16's digits
    )
    params = module.init(keys[2], *inputs)
    exact = module.apply(params, *inputs)
    monkeypatch.setattr(precision, "compute_dtype", lambda: jnp.dtype(jnp.bfloat16))
    rounded = module.apply(params, *inputs)
    for ours, whole in zip(*map(jax.tree.leaves, (rounded, exact)), strict=True):
        assert ours.dtype == jnp.bfloat16 and whole.dtype == jnp.float32
        np.testing.assert_array_equal(ours, whole.astype(jnp.bfloat16))
