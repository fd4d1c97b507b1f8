"""Laws of tokens: how they are drawn, their likelihood and their divergence.

Axes: B batch, H chunk length, R action dimensions of the robot, L tokens of a chunk,
which are the scored steps K, V tokens known.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Mapping, NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Score
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads.base import likelihood_mask

# The logit of a token that cannot be drawn: finite, so that no divergence is NaN.
IMPOSSIBLE = -1e9


class TokenTrace(NamedTuple):
    """Tokens and the laws that they were drawn from."""

    tokens: jax.Array  # int32 [B, L]
    written: jax.Array  # bool [B, L]: False behind the end of a chunk
    log_probs: jax.Array  # float32 [B, L, V]
    temperature: jax.Array  # float32 [B]


@dataclass(frozen=True)
class TokenSampler:
    """How tokens are drawn: `temperature` divides their logits."""

    temperature: float | jax.Array = 1.0
    exec_horizon: int | None = None
    num_scored_steps: ClassVar[None] = None  # each dimension of an action is a token

    def __post_init__(self) -> None:
        is_known = not isinstance(self.temperature, jax.Array)  # see `scaled`
        if is_known and not self.temperature > 0:
            raise ValueError(
                f"sampler.scale is {self.temperature}, but it is the temperature of "
                "tokens: choose a positive one."
            )

    def of_batch(self, batch: int) -> jax.Array:
        """The temperature of every row, float32 [B]."""
        return jnp.full(batch, self.temperature, jnp.float32)

    def scaled(self, factor: jax.Array) -> "TokenSampler":
        """The sampler at `factor` times the temperature, float32 [] in (0, 1]."""
        return dataclasses.replace(self, temperature=self.temperature * factor)


def make_sampler(
    settings: Mapping[str, Any], *, exec_horizon: int | None
) -> TokenSampler:
    """From "scale", the temperature; a flow's settings have no meaning here."""
    return TokenSampler(temperature=settings["scale"], exec_horizon=exec_horizon)


def draw(key: jax.Array, log_probs: jax.Array) -> jax.Array:
    """Tokens int32 [B, ...] of laws [B, ..., V]; consumes `key`, one or one a row."""
    if key.ndim:
        chex.assert_shape(key, log_probs.shape[:1])
        return jax.vmap(jax.random.categorical)(key, log_probs)
    return jax.random.categorical(key, log_probs)


def fold_in(key: jax.Array, number: jax.Array) -> jax.Array:
    """The key, or every row's own, for the number of a draw, int32 []."""
    if key.ndim:
        return jax.vmap(jax.random.fold_in, (0, None))(key, number)
    return jax.random.fold_in(key, number)


def at_temperature(logits: jax.Array, temperature: jax.Array) -> jax.Array:
    """Log-probabilities float32 [B, L, V] of logits, at temperatures [B]."""
    chex.assert_rank([logits, temperature], [3, 1])
    return jax.nn.log_softmax(logits / temperature[:, None, None])


def counted_numbers(
    config: PolicyConfig,
    exec_horizon: int | None,
    executed_mask: jax.Array | None,
    batch: int,
) -> jax.Array:
    """Numbers of a chunk that count, bool [B, H, R]: those of executed actions."""
    mask = likelihood_mask(config, exec_horizon, executed_mask=executed_mask)
    real = mask[..., : config.robot_action_dim]
    return jnp.broadcast_to(real, (batch, config.horizon, config.robot_action_dim))


def chosen(log_probs: jax.Array, tokens: jax.Array) -> jax.Array:
    """The log-probability float32 [B, L] of each token under its law."""
    chex.assert_equal_shape_prefix([log_probs, tokens], 2)
    return jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]


def score(tokens: jax.Array, log_probs: jax.Array, counted: jax.Array) -> Score:
    """The likelihood of tokens int32 [B, L], each a step of its own.

    Args:
      tokens: what was drawn.
      log_probs: float32 [B, L, V], the laws that are asked.
      counted: bool [B, L], the tokens that have a density.
    """
    chex.assert_equal_shape([tokens, counted])
    by_token = jnp.where(counted, chosen(log_probs, tokens), 0.0)
    return Score(jnp.sum(by_token, axis=1), by_token.T, counted.T, log_probs)


def exact_kl(new: Score, other: Score) -> jax.Array:
    """KL(new ‖ other) by token, float32 [L, B]; 0 where a token does not count."""
    chex.assert_equal_shape([new.distribution, other.distribution])
    ratio = new.distribution - other.distribution
    by_token = jnp.sum(jnp.exp(new.distribution) * ratio, axis=-1)
    return jnp.where(new.has_density, by_token.T, 0.0)


def cross_entropy(
    log_probs: jax.Array, tokens: jax.Array, weights: jax.Array
) -> jax.Array:
    """The mean of -log p over tokens, weighted by float32 [B, L]; float32 []."""
    chex.assert_equal_shape([tokens, weights])
    chex.assert_type(log_probs, jnp.float32)
    missed = -chosen(log_probs, tokens)
    return jnp.sum(weights * missed) / jnp.maximum(jnp.sum(weights), 1e-6)
