"""The action expert's ends: state, noisy chunk and flow time in, velocity out.

Axes: B batch, H chunk length, D action dimensions, E width of the action expert.
"""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.layers import Dense, posemb_sincos


class ActionInput(nn.Module):
    """state [B, 8], chunk [B, H, D], tau [B] -> suffix tokens [B, 1 + H, E].

    As in pi0: the state is one token; every action token is mixed with the flow time
    by a two-layer MLP over their concatenation.
    """

    width: int

    @nn.compact
    def __call__(
        self, state: jax.Array, chunk: jax.Array, tau: jax.Array
    ) -> jax.Array:
        chex.assert_rank([state, chunk, tau], [2, 3, 1])
        chex.assert_equal_shape_prefix([state, chunk, tau], 1)
        names = (None, "embed")
        state_token = Dense(self.width, names, name="state_proj")(
            precision.to_compute(state)
        )
        actions = Dense(self.width, names, name="action_in_proj")(
            precision.to_compute(chunk)
        )
        time = precision.to_compute(posemb_sincos(tau, self.width))
        time = jnp.broadcast_to(time[:, None], actions.shape)
        x = jnp.concatenate([actions, time], axis=-1)
        x = nn.swish(Dense(self.width, names, name="action_time_mlp_in")(x))
        x = Dense(self.width, names, name="action_time_mlp_out")(x)
        return jnp.concatenate([state_token[:, None], x], axis=1)


class ActionOutput(nn.Module):
    """Action tokens [B, H, E] -> velocity float32 [B, H, action_dim]."""

    action_dim: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        chex.assert_rank(x, 3)
        head = Dense(self.action_dim, ("embed", None), name="action_out_proj")
        return head(precision.to_float32(x))
