"""Random parameters without compiling an initialiser: numpy values in its shapes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn


def random_parameters(module: nn.Module, *inputs: Any, **named: Any) -> Any:
    """Variables of `module`, every entry normal with standard deviation 0.3."""

    def init() -> Any:
        return module.init(jax.random.key(0), *inputs, **named)

    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), jnp.float32),
        nn.unbox(jax.eval_shape(init)),
    )
