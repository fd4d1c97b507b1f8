"""Discrete diffusion: a chunk's tokens unmasked in iterations, the surest ones first.

    sft_loss = mean over masked tokens of -log p(token | the others, o),
               a share cos(pi u / 2) of them masked, u ~ U(0, 1)
    log pi(chunk, order | o) = sum over iterations, over the tokens that they unmask, of
               log p(token | the tokens of earlier iterations, o)

Discrete Diffusion VLA (2508.20072), with MaskGIT's iterations. The order is part of
what was recorded: it has no density of its own. Re-masking is for acting only.

Axes: B batch, R draws of a mask, H chunk length, D action dimensions, L tokens of a
chunk, V tokens known; V itself is the mask.
"""

from dataclasses import dataclass
from typing import Any, Mapping, NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Score
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import autoregressive, bins, suffix, token_law
from omnivla_jax.policy.heads.base import CODEC, ActionHead
from omnivla_jax.policy.heads.token_law import TokenSampler
from omnivla_jax.policy.prefix import PrefixCache


@dataclass(frozen=True)
class IterationSampler(TokenSampler):
    """Draws in `iterations`; `order_noise` times Gumbel noise mixes their order."""

    iterations: int = 4
    order_noise: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise ValueError(f"sampler.steps is {self.iterations}: choose at least 1.")


class IterationTrace(NamedTuple):
    """Tokens, when each was unmasked, and the laws that they were drawn from."""

    tokens: jax.Array  # int32 [B, L]
    unmasked_in: jax.Array  # int32 [B, L], the iteration, from 0
    log_probs: jax.Array  # float32 [B, L, V]
    temperature: jax.Array  # float32 [B]


def make_sampler(
    settings: Mapping[str, Any], *, exec_horizon: int | None
) -> IterationSampler:
    """From "scale", the temperature, and "steps", the iterations."""
    return IterationSampler(
        temperature=settings["scale"],
        exec_horizon=exec_horizon,
        iterations=settings["steps"],
    )


def init(keys: jax.Array, config: PolicyConfig) -> dict[str, PyTree]:
    """Fresh parameters "input" and "output", boxed, and "codec"; consumes `keys`."""
    ends = autoregressive.make_ends(config.action_bins, config)
    return autoregressive.init(keys, ends, config) | {CODEC: bins.fresh(config)}


def predict(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    tokens: jax.Array,
    *,
    config: PolicyConfig,
) -> jax.Array:
    """Logits float32 [B, L, V] of all tokens from those that are not masked.

    Args:
      params: of the policy.
      cache: the encoded prefix of B observations.
      proprio: float32 [B, proprio_dim], normalised and padded.
      tokens: int32 [B, L]; `config.action_bins` is the mask.
      config: the policy's sizes.
    """
    chex.assert_shape(proprio, (len(tokens), config.proprio_dim))
    ends, parts = autoregressive.make_ends(config.action_bins, config), params["action"]
    inputs = ends.input.apply({"params": parts["input"]}, proprio, tokens)
    hidden = suffix.run_suffix(
        params, cache, inputs, None, config=config, attention="bidirectional"
    )
    return ends.output.apply({"params": parts["output"]}, hidden)


def num_masked(done: jax.Array, iterations: int, length: int) -> jax.Array:
    """The tokens that stay masked after `done` iterations, int32 [...]: a cosine.

    All at first, none at the end, and fewer with every iteration, where there are at
    least as many tokens as iterations.
    """
    # 28 = 56 cos(pi / 3) must not be rounded to 27.
    by_cosine = jnp.floor(length * jnp.cos(jnp.pi / 2 * done / iterations) + 1e-3)
    min_masked = jnp.maximum(iterations - done, 0)
    max_masked = jnp.maximum(length - done, 0)
    left = jnp.minimum(jnp.maximum(by_cosine, min_masked), max_masked)
    return jnp.where(done >= iterations, 0, left).astype(jnp.int32)


def sft_loss(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    key: jax.Array,
    *,
    config: PolicyConfig,
    draws: int,
    loss_mask: jax.Array | None = None,
) -> jax.Array:
    """The mean cross-entropy of masked tokens, of R = `draws` masks an observation.

    Float32 []; consumes `key`.
    """
    tokens = bins.encode(params["action"][CODEC], chunk, config=config)
    numbers = token_law.counted_numbers(config, None, loss_mask, len(tokens))
    counted = bins.share(numbers)
    length = tokens.shape[1]

    def error(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        share_key, place_key = jax.random.split(key)
        share = jnp.cos(jnp.pi / 2 * jax.random.uniform(share_key, (len(tokens), 1)))
        rank = _rank(jax.random.uniform(place_key, tokens.shape))
        hidden = rank < jnp.ceil(share * length)
        masked = jnp.where(hidden, config.action_bins, tokens)
        logits = predict(params, cache, proprio, masked, config=config)
        missed = -token_law.chosen(jax.nn.log_softmax(logits), tokens)
        weights = hidden * counted
        return jnp.sum(weights * missed), jnp.sum(weights)

    missed, weights = jax.vmap(error)(jax.random.split(key, draws))
    return jnp.sum(missed) / jnp.maximum(jnp.sum(weights), 1.0)


def act(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
) -> ActionChunk:
    """A chunk [B, H, D] of the most likely tokens, in `steps` iterations; no key.

    An unmasked token is masked again, before the last round, where its probability fell
    below `config.remask` (1 - iteration / iterations) times what it was drawn with.
    """
    del key
    length = config.horizon * config.robot_action_dim
    tokens = jnp.full((len(proprio), length), config.action_bins)
    drawn_with = jnp.zeros(tokens.shape)

    def unmask(
        carry: tuple[jax.Array, jax.Array], done: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        tokens, drawn_with = carry
        logits = predict(params, cache, proprio, tokens, config=config)
        log_probs = jax.nn.log_softmax(logits)
        known = tokens < config.action_bins
        now = token_law.chosen(log_probs, jnp.where(known, tokens, 0))
        eta = jnp.where(done + 1 < steps, config.remask * (1.0 - done / steps), 0.0)
        doubted = known & (jnp.exp(now) < eta * drawn_with)
        best, surest = jnp.argmax(log_probs, axis=-1), jnp.max(log_probs, axis=-1)
        left = num_masked(done + 1, steps, length)
        kept = _unmasked(jnp.where(known, jnp.inf, surest), left)
        drawn_with = jnp.where(known, drawn_with, jnp.exp(surest))
        tokens = jnp.where(known, tokens, best)
        kept &= ~doubted
        return (jnp.where(kept, tokens, config.action_bins), drawn_with), None

    (tokens, _), _ = jax.lax.scan(unmask, (tokens, drawn_with), jnp.arange(steps))
    return bins.decode(params["action"][CODEC], tokens, config=config)


def explore(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: IterationSampler,
) -> tuple[ActionChunk, IterationTrace]:
    """A random chunk [B, H, D] and its trace; consumes `key`."""
    batch, length = len(proprio), config.horizon * config.robot_action_dim
    temperature, iterations = sampler.of_batch(batch), sampler.iterations

    def unmask(
        tokens: jax.Array, step: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        done, key = step
        token_key, order_key = jax.random.split(key)
        logits = predict(params, cache, proprio, tokens, config=config)
        log_probs = token_law.at_temperature(logits, temperature)
        drawn = token_law.draw(token_key, log_probs)
        noise = jax.random.gumbel(order_key, drawn.shape)
        noise *= sampler.order_noise * (1.0 - (done + 1) / iterations)
        sure = token_law.chosen(log_probs, drawn) + noise
        known = tokens < config.action_bins
        left = num_masked(done + 1, iterations, length)
        kept = _unmasked(jnp.where(known, jnp.inf, sure), left)
        after = jnp.where(known, tokens, drawn)
        return jnp.where(kept, after, config.action_bins), (kept & ~known, log_probs)

    start = jnp.full((batch, length), config.action_bins)
    steps = (jnp.arange(iterations), jax.random.split(key, iterations))
    tokens, (is_new, log_probs) = jax.lax.scan(unmask, start, steps)
    chunk = bins.decode(params["action"][CODEC], tokens, config=config)
    when = jnp.argmax(is_new, axis=0)
    laws = jnp.sum(jnp.where(is_new[..., None], log_probs, 0.0), axis=0)
    return chunk, IterationTrace(tokens, when, laws, temperature)


def score(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    trace: IterationTrace,
    *,
    config: PolicyConfig,
    sampler: IterationSampler,
    executed_mask: jax.Array | None,
) -> Score:
    """The likelihood of recorded tokens under `params`, in their recorded order."""

    def laws_of(now: jax.Array) -> jax.Array:
        seen = jnp.where(trace.unmasked_in < now, trace.tokens, config.action_bins)
        logits = predict(params, cache, proprio, seen, config=config)
        laws = token_law.at_temperature(logits, trace.temperature)
        return jnp.where((trace.unmasked_in == now)[..., None], laws, 0.0)

    laws = jnp.sum(jax.vmap(laws_of)(jnp.arange(sampler.iterations)), axis=0)
    return score_recorded(
        trace._replace(log_probs=laws),
        config=config,
        sampler=sampler,
        executed_mask=executed_mask,
    )


def score_recorded(
    trace: IterationTrace,
    *,
    config: PolicyConfig,
    sampler: IterationSampler,
    executed_mask: jax.Array | None,
) -> Score:
    """The likelihood under the parameters that sampled."""
    numbers = token_law.counted_numbers(
        config, sampler.exec_horizon, executed_mask, len(trace.tokens)
    )
    return token_law.score(trace.tokens, trace.log_probs, bins.share(numbers) > 0.0)


def _rank(values: jax.Array) -> jax.Array:
    """The place of each value in its row, sorted upwards: int32 [B, L]."""
    return jnp.argsort(jnp.argsort(values, axis=-1), axis=-1)


def _unmasked(confidence: jax.Array, left: jax.Array) -> jax.Array:
    """All but the `left` least sure tokens of each row, bool [B, L]."""
    return _rank(confidence) >= left


DISCRETE_DIFFUSION = ActionHead(
    init=init,
    sft_loss=sft_loss,
    act=act,
    explore=explore,
    score=score,
    score_recorded=score_recorded,
    exact_kl=token_law.exact_kl,
    make_sampler=make_sampler,
    fit=bins.fit,
)
