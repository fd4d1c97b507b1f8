"""Heads that write a chunk as tokens, one after the other, over the cached prefix.

    log pi(chunk | o) = sum_l log p(token_l | token_1 ... token_{l-1}, o)

With a bin for every number these are RT-2's (2307.15818) and OpenVLA's tokens
(2406.09246), `TOKENS`; with another codec another head. Here the action expert writes
them instead of the language model.

Axes: B batch, H chunk length, D action dimensions, L most tokens of a chunk.
"""

import functools

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Score
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import autoregressive, token_law
from omnivla_jax.policy.heads.base import CODEC, ActionHead
from omnivla_jax.policy.heads.bins import BINS
from omnivla_jax.policy.heads.chunk_codec import ChunkCodec, is_written
from omnivla_jax.policy.heads.token_law import TokenSampler, TokenTrace
from omnivla_jax.policy.prefix import PrefixCache


def init(
    keys: jax.Array, config: PolicyConfig, *, codec: ChunkCodec
) -> dict[str, PyTree]:
    """Fresh parameters "input" and "output", boxed, and "codec"; consumes `keys`."""
    ends = autoregressive.make_ends(codec.vocab(config), config)
    return autoregressive.init(keys, ends, config) | {CODEC: codec.fresh(config)}


def sft_loss(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    key: jax.Array,
    *,
    config: PolicyConfig,
    draws: int,
    codec: ChunkCodec,
    loss_mask: jax.Array | None = None,
) -> jax.Array:
    """The mean cross-entropy of a token, float32 []."""
    del key, draws
    arrays, batch = params["action"][CODEC], len(chunk)
    tokens = codec.encode(arrays, chunk, config=config)
    counted = token_law.counted_numbers(config, None, loss_mask, batch)
    written = is_written(tokens, codec.spans(arrays, config=config))
    log_probs = _laws(params, cache, proprio, tokens, jnp.ones(batch), config, codec)
    return token_law.cross_entropy(log_probs, tokens, written * codec.share(counted))


def act(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
    codec: ChunkCodec,
) -> ActionChunk:
    """The chunk of the most likely tokens, float32 [B, H, D]; no key is used."""
    del key, steps
    arrays = params["action"][CODEC]
    tokens = autoregressive.generate(
        params,
        cache,
        proprio,
        None,
        None,
        ends=autoregressive.make_ends(codec.vocab(config), config),
        spans=codec.spans(arrays, config=config),
        config=config,
    )
    return codec.decode(arrays, tokens, config=config)


def explore(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: TokenSampler,
    codec: ChunkCodec,
) -> tuple[ActionChunk, TokenTrace]:
    """A random chunk [B, H, D] and its trace; consumes `key`.

    The laws are computed again from all tokens at once, as `score` does, so that the
    first ratio of an update is 1 in every precision.
    """
    arrays, temperature = params["action"][CODEC], sampler.of_batch(len(proprio))
    spans = codec.spans(arrays, config=config)
    tokens = autoregressive.generate(
        params,
        cache,
        proprio,
        key,
        temperature,
        ends=autoregressive.make_ends(codec.vocab(config), config),
        spans=spans,
        config=config,
    )
    written = is_written(tokens, spans)
    log_probs = _laws(params, cache, proprio, tokens, temperature, config, codec)
    chunk = codec.decode(arrays, tokens, config=config)
    return chunk, TokenTrace(tokens, written, log_probs, temperature)


def score(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    trace: TokenTrace,
    *,
    config: PolicyConfig,
    sampler: TokenSampler,
    executed_mask: jax.Array | None,
    codec: ChunkCodec,
) -> Score:
    """The likelihood of recorded tokens under `params`, at their temperature."""
    tokens, temperature = trace.tokens, trace.temperature
    laws = _laws(params, cache, proprio, tokens, temperature, config, codec)
    return score_recorded(
        trace._replace(log_probs=laws),
        config=config,
        sampler=sampler,
        executed_mask=executed_mask,
        codec=codec,
    )


def score_recorded(
    trace: TokenTrace,
    *,
    config: PolicyConfig,
    sampler: TokenSampler,
    executed_mask: jax.Array | None,
    codec: ChunkCodec,
) -> Score:
    """The likelihood under the parameters that sampled."""
    numbers = token_law.counted_numbers(
        config, sampler.exec_horizon, executed_mask, len(trace.tokens)
    )
    counted = trace.written & (codec.share(numbers) > 0.0)
    return token_law.score(trace.tokens, trace.log_probs, counted)


def _laws(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    tokens: jax.Array,
    temperature: jax.Array,
    config: PolicyConfig,
    codec: ChunkCodec,
) -> jax.Array:
    """The law of each token given those before it, float32 [B, L, V]."""
    return autoregressive.laws(
        params,
        cache,
        proprio,
        tokens,
        temperature,
        ends=autoregressive.make_ends(codec.vocab(config), config),
        spans=codec.spans(params["action"][CODEC], config=config),
        config=config,
    )


def make_head(codec: ChunkCodec) -> ActionHead:
    """The head that writes chunks by `codec`."""
    bound = functools.partial
    return ActionHead(
        init=bound(init, codec=codec),
        sft_loss=bound(sft_loss, codec=codec),
        act=bound(act, codec=codec),
        explore=bound(explore, codec=codec),
        score=bound(score, codec=codec),
        score_recorded=bound(score_recorded, codec=codec),
        exact_kl=token_law.exact_kl,
        make_sampler=token_law.make_sampler,
        fit=codec.fit,
    )


TOKENS = make_head(BINS)
