"""DSRL's policy: the law of the noise that a flow makes a chunk of.

Axes: B batch, L layers, S prefix tokens, C channels of all key/value heads, P state
dimensions, H chunk length, D action dimensions.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.layers import Dense

LARGEST_MEAN = 2.0  # of the noise's entries, in deviations of what the flow was shown
LARGEST_LOG_STD = 2.0


class NoisePolicy(nn.Module):
    """values [B, L, S, C], valid bool [B, S], proprio [B, P] -> [B, H, D], twice.

    An MLP on the mean of the valid tokens' values, layer by layer, and on the robot's
    state. Its last layer starts at 0, so that the noise starts as N(0, 1).
    """

    horizon: int
    action_dim: int
    width: int

    @nn.compact
    def __call__(
        self, values: jax.Array, valid: jax.Array, proprio: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        counted = valid.astype(jnp.float32)
        weight = counted / jnp.sum(counted, axis=1, keepdims=True)
        means = jnp.einsum("blsc,bs->blc", precision.to_float32(values), weight)
        means = nn.LayerNorm(use_scale=False, use_bias=False)(means)
        x = jnp.concatenate([means.reshape(len(means), -1), proprio], axis=-1)
        for name in ("first", "second"):
            x = nn.gelu(Dense(self.width, (None, "mlp"), name=name)(x))
        size = 2 * self.horizon * self.action_dim
        raw = Dense(size, ("mlp", None), from_zero=True, name="out")(x)
        mean, log_std = jnp.split(
            raw.reshape(len(raw), self.horizon, 2 * self.action_dim), 2, axis=-1
        )
        return LARGEST_MEAN * jnp.tanh(mean), LARGEST_LOG_STD * jnp.tanh(log_std)
