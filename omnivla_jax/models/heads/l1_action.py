"""The L1 head's ends of the action expert: learned queries in, a Laplace law out.

Axes: B batch, H chunk length, D action dimensions, S state dimensions, T suffix tokens,
E width of the action expert.
"""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.heads.flow_action import WITHIN, prepend_state
from omnivla_jax.models.layers import Dense

QUERY_STD = 0.02  # of the fresh queries, as of learned position embeddings


class QueryInput(nn.Module):
    """state [B, S] -> suffix tokens [B, T, E]: the state's, and one query an action."""

    width: int
    proprio_token: bool
    horizon: int

    @nn.compact
    def __call__(self, state: jax.Array) -> jax.Array:
        chex.assert_rank(state, 2)
        normal = nn.initializers.normal(QUERY_STD)
        names = nn.with_logical_partitioning(normal, (None, "embed"))
        queries = self.param("queries", names, (self.horizon, self.width))
        queries = precision.to_compute(queries)
        tokens = jnp.broadcast_to(queries, (len(state), *queries.shape))
        return prepend_state(state, tokens, self.proprio_token)


class LaplaceOutput(nn.Module):
    """Action tokens [B, H, E] -> location and log scale, float32 [B, H, D] each.

    The scale's layer starts at 0 and reads the tokens without a gradient, so that the
    location alone shapes the expert. The log scale lies in `log_scale_range`.
    """

    action_dim: int
    log_scale_range: tuple[float, float]

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        chex.assert_rank(x, 3)
        x = precision.to_float32(x)
        location = Dense(self.action_dim, WITHIN, name="action_out_proj")(x)
        scale = Dense(self.action_dim, (None, None), from_zero=True, name="log_scale")
        low, high = self.log_scale_range
        # A smooth bound, whose gradient vanishes at neither end of the start value.
        share = (1.0 + jnp.tanh(scale(jax.lax.stop_gradient(x)))) / 2.0
        return location, low + (high - low) * share
