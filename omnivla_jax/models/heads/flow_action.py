"""The action expert's ends: state, noisy chunk and flow time in, velocity out.

Float32, as openpi's: the chunk and its time would lose what one denoising step changes.

Axes: B batch, H chunk length, D action dimensions, T tokens of the suffix (the state's,
where it has one, and H of actions), E width of the action expert.
"""

from typing import Mapping, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.layers import Dense, posemb_sincos

IN, WITHIN = (None, "embed"), ("embed", None)  # logical axes of the kernels


class Suffix(NamedTuple):
    """What the action expert reads."""

    tokens: jax.Array  # [B, T, E]
    condition: jax.Array | None  # [B, E]: the flow time, where its norms are adaptive


class ConcatenatedInput(nn.Module):
    """state [B, S], chunk [B, H, D], tau [B] -> suffix, as in pi0.

    The state is one token, unless `proprio_token` is off; every action token is mixed
    with the flow time by a two-layer MLP over their concatenation.
    """

    width: int
    proprio_token: bool

    @nn.compact
    def __call__(self, state: jax.Array, chunk: jax.Array, tau: jax.Array) -> Suffix:
        actions = _embed_actions(chunk, tau, self.width)
        time = posemb_sincos(tau, self.width)
        time = jnp.broadcast_to(time[:, None], actions.shape)
        x = jnp.concatenate([actions, time], axis=-1)
        x = nn.swish(Dense(self.width, IN, name="action_time_mlp_in")(x))
        x = Dense(self.width, IN, name="action_time_mlp_out")(x)
        tokens = prepend_state(state, x, self.proprio_token)
        return Suffix(precision.to_compute(tokens), None)


class AdaptiveInput(nn.Module):
    """state [B, S], chunk [B, H, D], tau [B] -> suffix, as in pi0.5.

    The flow time goes through a two-layer MLP into the norms of every layer and leaves
    the tokens alone. pi0.5 has no state token: `proprio_token` off.
    """

    width: int
    proprio_token: bool

    @nn.compact
    def __call__(self, state: jax.Array, chunk: jax.Array, tau: jax.Array) -> Suffix:
        actions = _embed_actions(chunk, tau, self.width)
        time = posemb_sincos(tau, self.width)
        time = nn.swish(Dense(self.width, WITHIN, name="time_mlp_in")(time))
        time = nn.swish(Dense(self.width, WITHIN, name="time_mlp_out")(time))
        tokens = prepend_state(state, actions, self.proprio_token)
        return Suffix(*precision.to_compute((tokens, time)))


TIME_CONDITIONING: Mapping[str, type[ConcatenatedInput] | type[AdaptiveInput]] = {
    "concatenated": ConcatenatedInput,
    "adaptive": AdaptiveInput,
}


class ActionOutput(nn.Module):
    """Action tokens [B, H, E] -> velocity float32 [B, H, action_dim]."""

    action_dim: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        chex.assert_rank(x, 3)
        head = Dense(self.action_dim, WITHIN, name="action_out_proj")
        return head(precision.to_float32(x))


def _embed_actions(chunk: jax.Array, tau: jax.Array, width: int) -> jax.Array:
    """A token for every action, as part of the module that is being called."""
    chex.assert_rank([chunk, tau], [3, 1])
    chex.assert_equal_shape_prefix([chunk, tau], 1)
    return Dense(width, IN, name="action_in_proj")(precision.to_float32(chunk))


def prepend_state(
    state: jax.Array, actions: jax.Array, proprio_token: bool
) -> jax.Array:
    """Action tokens [B, H, E] behind the state's, where it has one."""
    chex.assert_rank([state, actions], [2, 3])
    chex.assert_equal_shape_prefix([state, actions], 1)
    if not proprio_token:
        return actions
    dense = Dense(actions.shape[-1], IN, name="state_proj")
    token = dense(precision.to_float32(state)).astype(actions.dtype)
    return jnp.concatenate([token[:, None], actions], axis=1)
