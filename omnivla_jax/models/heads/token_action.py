"""The token heads' ends of the action expert: tokens in, logits of tokens out.

Axes: B batch, L tokens of a chunk, T tokens of a call, V tokens known, S state
dimensions, E width of the action expert.
"""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.heads.flow_action import IN, WITHIN
from omnivla_jax.models.layers import Dense

EMBEDDING_STD = 0.3  # of fresh tokens and places: the state's token has about 1


class TokenInput(nn.Module):
    """Tokens of a chunk as inputs of the action expert, and the robot's state as one.

    `vocab` ids are tokens; one more, `vocab` itself, stands where there is none: before
    the first token, or for a masked one.
    """

    width: int
    vocab: int
    length: int  # L, places of a chunk
    proprio_token: bool

    def setup(self) -> None:
        normal = nn.initializers.normal(EMBEDDING_STD)
        names = nn.with_logical_partitioning(normal, (None, "embed"))
        self.embedding = self.param("embedding", names, (self.vocab + 1, self.width))
        self.places = self.param("places", names, (self.length, self.width))
        if self.proprio_token:
            self.state_proj = Dense(self.width, IN)

    def __call__(self, state: jax.Array, tokens: jax.Array) -> jax.Array:
        """state [B, S] and tokens int32 [B, L] -> suffix [B, L (+ 1), E]."""
        chex.assert_axis_dimension(tokens, 1, self.length)
        return jnp.concatenate([self.state(state), self.embed(tokens, 0)], axis=1)

    def state(self, state: jax.Array) -> jax.Array:
        """state [B, S] -> its token [B, 1, E], or none [B, 0, E]."""
        chex.assert_rank(state, 2)
        if not self.proprio_token:
            return precision.to_compute(jnp.zeros((len(state), 0, self.width)))
        token = self.state_proj(precision.to_float32(state))
        return precision.to_compute(token)[:, None]

    def embed(self, tokens: jax.Array, first: int | jax.Array) -> jax.Array:
        """tokens int32 [B, T] at the places from `first` on -> [B, T, E]."""
        chex.assert_rank(tokens, 2)
        places = jax.lax.dynamic_slice_in_dim(self.places, first, tokens.shape[1])
        return precision.to_compute(self.embedding[tokens] + places)


class TokenOutput(nn.Module):
    """Suffix tokens [B, T, E] -> logits float32 [B, T, V]; all 0 at first."""

    vocab: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        chex.assert_rank(x, 3)
        dense = Dense(self.vocab, WITHIN, from_zero=True, name="logits")
        return dense(precision.to_float32(x))
