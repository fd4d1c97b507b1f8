"""Knowledge insulation (2505.23705): the action expert reads the prefix, no more.

    loss = the head's, without a gradient into the prefix's keys and values
           + weight * mean over tokens of -log p(token | tokens before it, o)

The second part trains the prefix's experts to write the chunk themselves, by a codec,
as tokens of the reasoning expert that the action expert never sees. Objectives of RL
reach the action expert alone as well. When acting nothing changes.

Axes: B batch, H chunk length, D action dimensions, L most tokens of a chunk.
"""

import functools
from typing import Mapping

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Score
from omnivla_jax.models.heads.token_action import TokenInput, TokenOutput
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import suffix, token_law
from omnivla_jax.policy.heads.base import CODEC, ActionHead
from omnivla_jax.policy.heads.bins import BINS
from omnivla_jax.policy.heads.chunk_codec import ChunkCodec, is_written
from omnivla_jax.policy.heads.fast_codec import FAST_CODEC
from omnivla_jax.policy.prefix import PrefixCache

CODECS: Mapping[str, ChunkCodec] = {"bins": BINS, "fast": FAST_CODEC}
BACKBONE = "backbone"  # where the ends of the reasoning expert's tokens are kept


def init(
    keys: jax.Array, config: PolicyConfig, *, head: ActionHead, codec: ChunkCodec
) -> dict[str, PyTree]:
    """The head's fresh parameters, "backbone" and "codec"; consumes the 3 `keys`."""
    parts = head.init(keys, config)
    in_key, out_key = jax.random.split(jax.random.fold_in(keys[0], 1))
    tokens_in, tokens_out = _ends(config, codec)
    state = jnp.zeros((1, config.proprio_dim))
    tokens = jnp.zeros((1, tokens_in.length), jnp.int32)
    hidden = jnp.zeros((1, 1, tokens_in.width))
    backbone = {
        "input": tokens_in.init(in_key, state, tokens)["params"],
        "output": tokens_out.init(out_key, hidden)["params"],
    }
    return parts | {BACKBONE: backbone, CODEC: codec.fresh(config)}


def sft_loss(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    key: jax.Array,
    *,
    config: PolicyConfig,
    draws: int,
    head: ActionHead,
    codec: ChunkCodec,
    loss_mask: jax.Array | None = None,
) -> jax.Array:
    """The head's loss and the weighted cross-entropy of tokens, float32 []."""
    own = head.sft_loss(
        params,
        jax.lax.stop_gradient(cache),
        proprio,
        chunk,
        key,
        config=config,
        draws=draws,
        loss_mask=loss_mask,
    )
    written = backbone_loss(
        params, cache, proprio, chunk, config=config, codec=codec, loss_mask=loss_mask
    )
    return own + config.insulation_weight * written


def backbone_loss(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    *,
    config: PolicyConfig,
    codec: ChunkCodec,
    loss_mask: jax.Array | None = None,
) -> jax.Array:
    """The mean cross-entropy of chunks [B, H, D] as the reasoning expert's tokens.

    Args:
      params: of the policy.
      cache: the encoded prefix, which the gradient reaches.
      proprio: float32 [B, proprio_dim], normalised and padded.
      chunk: float32 [B, H, D].
      config: the policy's sizes.
      codec: that writes the chunks.
      loss_mask: bool [B, H], the actions that count; None: all.
    """
    arrays, batch = params["action"][CODEC], len(chunk)
    tokens_in, tokens_out = _ends(config, codec)
    parts = params["action"][BACKBONE]
    tokens = codec.encode(arrays, chunk, config=config)
    start = jnp.full((batch, 1), tokens_in.vocab)
    before = jnp.concatenate([start, tokens[:, :-1]], axis=1)
    inputs = tokens_in.apply({"params": parts["input"]}, proprio, before)
    hidden = suffix.run_reasoning(params, cache, inputs, config=config)
    logits = tokens_out.apply(
        {"params": parts["output"]}, hidden[:, -tokens.shape[1] :]
    )
    counted = token_law.counted_numbers(config, None, loss_mask, batch)
    written = is_written(tokens, codec.spans(arrays, config=config))
    return token_law.cross_entropy(
        jax.nn.log_softmax(logits), tokens, written * codec.share(counted)
    )


def score(
    params: PyTree,
    cache: PrefixCache,
    *arguments: PyTree,
    head: ActionHead,
    **named: PyTree,
) -> Score:
    """The head's likelihood, without a gradient into the prefix."""
    return head.score(params, jax.lax.stop_gradient(cache), *arguments, **named)


def insulate(head: ActionHead, codec_name: str) -> ActionHead:
    """The head with its prefix insulated, and written by the codec of `CODECS`.

    Raises:
      ValueError: the head writes tokens itself.
    """
    codec = CODECS[codec_name]
    if head.fit is not None:
        raise ValueError(
            f"insulation={codec_name!r} teaches tokens beside a head that has none, "
            "but this head writes tokens itself: choose insulation='none'."
        )
    return head._replace(
        init=functools.partial(init, head=head, codec=codec),
        sft_loss=functools.partial(sft_loss, head=head, codec=codec),
        score=functools.partial(score, head=head),
        fit=codec.fit,
    )


def _ends(config: PolicyConfig, codec: ChunkCodec) -> tuple[TokenInput, TokenOutput]:
    """The modules in front of and behind the reasoning expert's tokens."""
    vocab, width = codec.vocab(config), config.mot.reasoning.width
    length = config.horizon * config.robot_action_dim
    tokens = TokenInput(width, vocab, length, config.proprio_token)
    return tokens, TokenOutput(vocab)
