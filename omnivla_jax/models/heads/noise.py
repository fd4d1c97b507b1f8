"""Flow-Noise: the standard deviation of each action's denoising step, by a network.

Axes: B batch, H actions of a chunk, E width of the action expert, D action dimensions.
"""

import math

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.heads.flow_action import WITHIN
from omnivla_jax.models.layers import Dense

HIDDEN = 128


class NoiseHead(nn.Module):
    """Action tokens [B, H, E] -> deviations float32 [B, H, D], low to high.

        log s = log low + (log high - log low) (1 + tanh z) / 2

    with z from two layers (ReinFlow's network, as in pi_RL and RLinf: 0.08 to 0.16).
    The last starts at 0, so that a fresh head returns sqrt(low high) everywhere.
    """

    action_dim: int
    low: float
    high: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        chex.assert_rank(x, 3)
        hidden = Dense(HIDDEN, WITHIN, name="hidden")(precision.to_float32(x))
        out = Dense(self.action_dim, (None, None), from_zero=True, name="out")
        share = (1.0 + jnp.tanh(out(nn.tanh(hidden)))) / 2.0
        low, high = math.log(self.low), math.log(self.high)
        return jnp.exp(low + (high - low) * share)
