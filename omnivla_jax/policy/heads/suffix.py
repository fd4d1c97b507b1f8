"""The suffix: the action expert's tokens through the transformer, reading the prefix.

Axes: B batch, S prefix tokens, T suffix tokens (the state's, where it has one, and
those of actions, A: H, or one a number), H chunk length, E width of the action expert.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import precision
from omnivla_jax.core.types import PyTree
from omnivla_jax.models import masks
from omnivla_jax.models.attention import Segment, attend
from omnivla_jax.models.mot import INTERMEDIATES, LayerCache
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.modules import build_modules, expert_params
from omnivla_jax.policy.prefix import PrefixCache


def run_suffix(
    params: PyTree,
    cache: PrefixCache,
    tokens: jax.Array,
    condition: jax.Array | None,
    *,
    config: PolicyConfig,
    attention: str | None = None,
    visible: jax.Array | None = None,
) -> jax.Array:
    """The action tokens after the last layer, [B, A, E].

    Args:
      params: of the policy; only the action expert's are read.
      cache: the encoded prefix.
      tokens: [B, T, E], the head's inputs.
      condition: [B, E] of adaptive norms; None: there are none.
      config: the policy's sizes.
      attention: of the action tokens, of `masks.INSIDE_ACTION`; None: the config's.
      visible: bool [A], the action tokens that any token sees, a beginning; None: all.
    """
    mask = _suffix_mask(cache, tokens, config, attention)
    if visible is not None:
        shown = jnp.ones(mask.shape[1] - len(visible), bool)
        mask &= jnp.concatenate([shown, visible])
    (hidden, _), _ = _apply(params, cache, tokens, condition, config, mask, mutable=[])
    return hidden["action"][:, config.suffix["state"] :]


def run_reasoning(
    params: PyTree, cache: PrefixCache, tokens: jax.Array, *, config: PolicyConfig
) -> jax.Array:
    """Causal tokens [B, T, E] of the reasoning expert behind the prefix: [B, T, E].

    No other expert sees them; E is the reasoning expert's width.
    """
    valid, count = _valid(cache, tokens), tokens.shape[1]
    rows = np.arange(valid.shape[1])
    mask = jnp.asarray(masks.earlier(rows[-count:, None], rows[None]))
    hidden, _ = build_modules(config).mot.apply(
        expert_params(params, ["reasoning"]),
        {"reasoning": tokens},
        positions=masks.positions(valid)[:, -count:],
        mask=masks.hide_padding(mask, valid),
        past=LayerCache(cache.keys, cache.values),
    )
    return hidden["reasoning"]


def open_suffix(cache: PrefixCache, length: int) -> PrefixCache:
    """The prefix with room for `length` tokens behind it, which `extend` fills."""
    room = [(0, 0)] * 2 + [(0, length)] + [(0, 0)] * 2
    return PrefixCache(
        jnp.pad(cache.keys, room),
        jnp.pad(cache.values, room),
        jnp.pad(cache.valid, ((0, 0), (0, length))),
    )


def extend(
    params: PyTree,
    seen: PrefixCache,
    tokens: jax.Array,
    first: int | jax.Array,
    config: PolicyConfig,
) -> tuple[jax.Array, PrefixCache]:
    """One step of a causal suffix: tokens that see what is valid, and themselves.

    Args:
      params: of the policy; only the action expert's are read.
      seen: of `open_suffix`, filled up to `first`.
      tokens: [B, 1, E], the next one.
      first: its place in `seen`.
      config: the policy's sizes.

    Returns:
      The token after the last layer [B, 1, E], and `seen` with it.
    """
    chex.assert_shape(tokens, (len(seen.valid), 1, None))
    valid = jnp.concatenate([seen.valid, jnp.ones_like(seen.valid[:, :1])], axis=1)
    hidden, own = build_modules(config).mot.apply(
        expert_params(params, ["action"]),
        {"action": tokens},
        positions=masks.positions(valid)[:, -1:],
        mask=valid[:, None],
        past=LayerCache(seen.keys, seen.values),
    )
    insert = jax.lax.dynamic_update_slice_in_dim
    keys, values = (
        insert(past, new.astype(past.dtype), first, axis=2)
        for past, new in zip(seen[:2], own)
    )
    here = valid[:, -1:]
    return hidden["action"], PrefixCache(
        keys, values, insert(seen.valid, here, first, axis=1)
    )


def check_no_flow_time(config: PolicyConfig) -> None:
    """Refuse norms that depend on a flow time, for heads that have none.

    Raises:
      ValueError: with the remedy.
    """
    if config.time_conditioning != "concatenated":
        raise ValueError(
            f"time_conditioning is {config.time_conditioning!r}, but the "
            f"{config.head} head has no flow time: choose 'concatenated'."
        )


def attention_share(
    params: PyTree,
    cache: PrefixCache,
    tokens: jax.Array,
    condition: jax.Array | None,
    *,
    config: PolicyConfig,
) -> dict[str, jax.Array]:
    """How much of the action tokens' attention each block of tokens gets, by layer.

    Args:
      params, cache, tokens, condition, config: as of `run_suffix`.

    Returns:
      float32 [L] by block, "reasoning", "spatial" (where there is that expert), "state"
      and "action"; in every layer the sum is 1. Means over batch, heads and actions.
    """
    rows = _suffix_mask(cache, tokens, config, None)
    (_, own), kept = _apply(
        params, cache, tokens, condition, config, rows, mutable=[INTERMEDIATES]
    )
    queries = kept[INTERMEDIATES]["layers"]["queries"][0]  # [L, B, T, N, C]
    lengths = _lengths(cache, tokens, config)
    mask = masks.hide_padding(rows, _valid(cache, tokens))
    # A block's share is what attention mixes of values that are 1 on its tokens.
    blocks = np.repeat(np.eye(len(lengths), queries.shape[-1]), [*lengths.values()], 0)
    values = jnp.asarray(blocks, queries.dtype)[None, :, None]
    prefix = cache.valid.shape[1]

    def shares(query: jax.Array, past: jax.Array, new: jax.Array) -> jax.Array:
        spread = jnp.broadcast_to(
            values, (len(query), values.shape[1], past.shape[2], values.shape[3])
        )
        segments = [Segment(past, spread[:, :prefix]), Segment(new, spread[:, prefix:])]
        mixed = attend(query, segments, mask)[:, -config.horizon :, :, : len(lengths)]
        return precision.to_float32(mixed).mean((0, 1, 2))

    by_layer = jax.vmap(shares, in_axes=(0, 1, 1))(queries, cache.keys, own.keys)
    return {name: by_layer[:, i] for i, name in enumerate(lengths) if lengths[name]}


def _apply(
    params: PyTree,
    cache: PrefixCache,
    tokens: jax.Array,
    condition: jax.Array | None,
    config: PolicyConfig,
    mask: jax.Array,
    *,
    mutable: list[str],
) -> tuple[tuple[dict[str, jax.Array], LayerCache], PyTree]:
    """The suffix's streams and cache, and the collections in `mutable`."""
    valid = _valid(cache, tokens)
    return build_modules(config).mot.apply(
        expert_params(params, ["action"]),
        {"action": tokens},
        positions=masks.positions(valid)[:, -tokens.shape[1] :],
        mask=masks.hide_padding(mask, valid),
        past=LayerCache(cache.keys, cache.values),
        conditions={} if condition is None else {"action": condition},
        mutable=mutable,
    )


def _valid(cache: PrefixCache, tokens: jax.Array) -> jax.Array:
    """Which tokens of prefix and suffix count, bool [B, S + T]."""
    return jnp.concatenate([cache.valid, jnp.ones(tokens.shape[:2], bool)], axis=1)


def _lengths(
    cache: PrefixCache, tokens: jax.Array, config: PolicyConfig
) -> dict[str, int]:
    """Tokens of every block, in their order."""
    prefix, spatial = cache.valid.shape[1], config.spatial_tokens
    state = config.suffix["state"]
    return {
        "reasoning": prefix - spatial,
        "spatial": spatial,
        "state": state,
        "action": tokens.shape[1] - state,
    }


def _suffix_mask(
    cache: PrefixCache,
    tokens: jax.Array,
    config: PolicyConfig,
    attention: str | None,
) -> jax.Array:
    """The suffix's rows of the block mask, bool [T, S + T]."""
    mask = masks.block_mask(
        _lengths(cache, tokens, config),
        suffix_attention=attention or config.suffix_attention,
    )
    return jnp.asarray(mask[cache.valid.shape[1] :])
