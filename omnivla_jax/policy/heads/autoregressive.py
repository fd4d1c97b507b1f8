"""Autoregressive tokens of a chunk: their laws at once, or drawn one after the other.

A token stands for one number or for several (`spans`); a chunk ends where its numbers
are complete, so that no token for an end is needed, and one that would write too many
cannot be drawn.

Axes: B batch, L numbers of a chunk, and so its most tokens, V tokens known, T tokens of
a call, E width of the action expert.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree
from omnivla_jax.models.heads.token_action import TokenInput, TokenOutput
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import suffix, token_law
from omnivla_jax.policy.heads.chunk_codec import numbers_before
from omnivla_jax.policy.prefix import PrefixCache


class Ends(NamedTuple):
    """The modules of the action expert's ends."""

    input: TokenInput
    output: TokenOutput


def make_ends(vocab: int, config: PolicyConfig) -> Ends:
    """The modules for V = `vocab` tokens."""
    width = config.mot.experts["action"].width
    length = config.horizon * config.robot_action_dim
    tokens = TokenInput(width, vocab, length, config.proprio_token)
    return Ends(tokens, TokenOutput(vocab))


def init(keys: jax.Array, ends: Ends, config: PolicyConfig) -> dict[str, PyTree]:
    """Fresh parameters "input" and "output", boxed; consumes two of the `keys`."""
    suffix.check_no_flow_time(config)
    state = jnp.zeros((1, config.proprio_dim))
    tokens = jnp.zeros((1, ends.input.length), jnp.int32)
    hidden = jnp.zeros((1, 1, ends.input.width))
    return {
        "input": ends.input.init(keys[0], state, tokens)["params"],
        "output": ends.output.init(keys[1], hidden)["params"],
    }


def laws(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    tokens: jax.Array,
    temperature: jax.Array,
    *,
    ends: Ends,
    spans: jax.Array,
    config: PolicyConfig,
) -> jax.Array:
    """The law of each token given those before it, float32 [B, L, V].

    Args:
      params: of the policy.
      cache: the encoded prefix of B observations.
      proprio: float32 [B, proprio_dim], normalised and padded.
      tokens: int32 [B, L].
      temperature: float32 [B], divides the logits.
      ends: modules of the ends.
      spans: int32 [V], how many numbers each token writes.
      config: the policy's sizes.
    """
    chex.assert_shape(proprio, (len(tokens), config.proprio_dim))
    start = jnp.full((len(tokens), 1), ends.input.vocab)
    before = jnp.concatenate([start, tokens[:, :-1]], axis=1)
    inputs = {"params": params["action"]["input"]}
    hidden = suffix.run_suffix(
        params,
        cache,
        ends.input.apply(inputs, proprio, before),
        None,
        config=config,
        attention="causal",
    )
    logits = ends.output.apply({"params": params["action"]["output"]}, hidden)
    fits = _fits(spans, numbers_before(tokens, spans), tokens.shape[1])
    logits = jnp.where(fits, logits, token_law.IMPOSSIBLE)
    return token_law.at_temperature(logits, temperature)


class _Writing(NamedTuple):
    """What a loop over places carries."""

    place: jax.Array  # int32 []
    tokens: jax.Array  # int32 [B, L]
    numbers: jax.Array  # int32 [B], written so far
    seen: PrefixCache  # of prefix and suffix


def generate(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array | None,
    temperature: jax.Array | None,
    *,
    ends: Ends,
    spans: jax.Array,
    config: PolicyConfig,
) -> jax.Array:
    """Tokens int32 [B, L], 0 behind the end of a chunk; has no gradient.

    Every token is one step of the action expert over the keys and values of those
    before it; the loop ends where the last chunk is complete.

    Args:
      params, cache, proprio, ends, spans, config: as of `laws`.
      key: one, or one a row [B]; consumed. None: each token is the most likely one.
      temperature: float32 [B]; None with no key.
    """
    batch, length = len(proprio), ends.input.length
    inputs = {"params": params["action"]["input"]}
    state = ends.input.apply(inputs, proprio, method="state")
    seen = suffix.open_suffix(cache, state.shape[1] + length)
    if state.shape[1]:
        _, seen = suffix.extend(params, seen, state, cache.valid.shape[1], config)
    first = cache.valid.shape[1] + state.shape[1]

    def write(now: _Writing) -> _Writing:
        before = now.tokens[:, now.place - 1]
        before = jnp.where(now.place == 0, ends.input.vocab, before)
        token = ends.input.apply(inputs, before[:, None], now.place, method="embed")
        hidden, seen = suffix.extend(params, now.seen, token, first + now.place, config)
        logits = ends.output.apply({"params": params["action"]["output"]}, hidden)
        fits = _fits(spans, now.numbers[:, None], length)
        logits = jnp.where(fits, logits, token_law.IMPOSSIBLE)
        if key is None:
            drawn = jnp.argmax(logits[:, 0], axis=-1)
        else:
            assert temperature is not None, "a key without a temperature"
            law = token_law.at_temperature(logits, temperature)[:, 0]
            drawn = token_law.draw(token_law.fold_in(key, now.place), law)
        drawn = jnp.where(now.numbers < length, drawn, 0).astype(jnp.int32)
        return _Writing(
            now.place + 1,
            now.tokens.at[:, now.place].set(drawn),
            jnp.minimum(now.numbers + spans[drawn], length),
            seen,
        )

    tokens, numbers = jnp.zeros((batch, length), jnp.int32), jnp.zeros(batch, jnp.int32)
    written = jax.lax.while_loop(
        lambda now: jnp.any(now.numbers < length),
        write,
        _Writing(jnp.zeros((), jnp.int32), tokens, numbers, seen),
    )
    return written.tokens


def _fits(spans: jax.Array, before: jax.Array, length: int) -> jax.Array:
    """Tokens that can follow `before` [B, T] numbers, bool [B, T, V].

    Behind the end of a chunk all can: their law is not asked, but must be a law.
    """
    left = length - before[..., None]
    return (spans <= left) | (left <= 0)
