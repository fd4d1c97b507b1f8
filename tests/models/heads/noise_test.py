"""The noise head's range, and that a fresh one says the middle of it."""

import jax.numpy as jnp
import numpy as np

from omnivla_jax.models.heads.noise import NoiseHead
from tests.helpers.random_tree import random_parameters

HEAD = NoiseHead(action_dim=3, low=0.05, high=0.2)
TOKENS = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 8)), jnp.float32)


def test_by_hand() -> None:
    params = random_parameters(HEAD, TOKENS)["params"]
    hidden, out = params["hidden"], params["out"]
    z = np.tanh(TOKENS @ hidden["kernel"] + hidden["bias"]) @ out["kernel"]
    share = (1 + np.tanh(z + out["bias"])) / 2
    found = HEAD.apply({"params": params}, TOKENS)
    np.testing.assert_allclose(found, 0.05 * 4.0**share, rtol=1e-5)
    assert found.dtype == jnp.float32 and found.shape == (2, 4, 3)
    assert 0.05 < float(found.min()) < 0.1 < float(found.max()) < 0.2


def test_noise_starts_midway_within_its_range() -> None:
    params = random_parameters(HEAD, TOKENS)["params"]
    far = HEAD.apply({"params": params}, 1e4 * TOKENS)
    assert 0.05 * 0.999 < float(far.min()) and float(far.max()) < 0.2 * 1.001
    params["out"] = {"kernel": jnp.zeros((128, 3)), "bias": jnp.zeros(3)}
    np.testing.assert_allclose(HEAD.apply({"params": params}, TOKENS), 0.1, rtol=1e-5)
