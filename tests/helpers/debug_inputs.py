"""Random inputs and parameters of the debug preset, for tests.

Axes: B batch, H chunk length, D action dimensions.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core.types import Observation
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import parameters

CONFIG = configs.preset("debug")
BATCH = 4


def observation(seed: int = 0) -> Observation:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(2, CONFIG.vocab, (BATCH, CONFIG.max_tokens))
    lengths = rng.integers(1, CONFIG.max_tokens, (BATCH, 1))
    return Observation(
        images=jnp.asarray(rng.integers(0, 256, (BATCH, 2, 16, 16, 3)), jnp.uint8),
        tokens=jnp.asarray(tokens, jnp.int32),
        token_mask=jnp.asarray(np.arange(CONFIG.max_tokens) < lengths),
        proprio=jnp.asarray(rng.normal(size=(BATCH, 8)), jnp.float32),
    )


def chunks(seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (BATCH, CONFIG.horizon, 7))


def random_params(config):
    """Parameters without a zero among them, so that every gate is open."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.2 * rng.normal(size=leaf.shape), jnp.float32),
        parameters.shapes(config),
    )
