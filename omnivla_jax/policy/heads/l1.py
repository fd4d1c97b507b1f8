"""The L1 head: a whole chunk in one pass, by regression (OpenVLA-OFT, 2502.19645).

    sft_loss = mean |a - location| + mean [log 2b + |a - location| / b]

with a Laplace scale b per entry, fitted to what the location misses (the second term
trains the scale alone), so that the deterministic head can explore and be scored, as in
RIPT-VLA: a = location + `scale` b Laplace(0, 1). Its trace is the chunk and the law
that it was drawn from; there are no denoising steps, K is 1.

Axes: B batch, H chunk length, D action dimensions.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Mapping, NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Score
from omnivla_jax.models.heads.l1_action import LaplaceOutput, QueryInput
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads.base import ActionHead, likelihood_mask
from omnivla_jax.policy.heads.suffix import check_no_flow_time, run_suffix
from omnivla_jax.policy.prefix import PrefixCache

# Of normalised actions: from a fiftieth of their deviation to two thirds above it.
LOG_SCALE_RANGE = (-4.0, 0.5)


class Laplace(NamedTuple):
    """The law of a chunk."""

    location: jax.Array  # float32 [B, H, D]
    log_scale: jax.Array  # float32 [B, H, D]


class LaplaceTrace(NamedTuple):
    """A chunk and the law that it was drawn from."""

    chunk: jax.Array  # float32 [B, H, D]
    distribution: Laplace


@dataclass(frozen=True)
class LaplaceSampler:
    """How chunks are drawn; `scale` multiplies the learned deviation."""

    scale: float | jax.Array = 1.0
    exec_horizon: int | None = None
    num_scored_steps: ClassVar[int] = 1  # the chunk is drawn at once

    def __post_init__(self) -> None:
        scale_is_known = not isinstance(self.scale, jax.Array)  # see `scaled`
        if scale_is_known and not self.scale > 0:
            raise ValueError(f"sampler.scale is {self.scale}; choose a positive one.")

    def scaled(self, factor: jax.Array) -> "LaplaceSampler":
        """The sampler with `factor` times the deviation, float32 [] in (0, 1]."""
        return dataclasses.replace(self, scale=self.scale * factor)


def make_sampler(
    settings: Mapping[str, Any], *, exec_horizon: int | None
) -> LaplaceSampler:
    """From "scale"; the settings of a denoising chain have no meaning here."""
    return LaplaceSampler(scale=settings["scale"], exec_horizon=exec_horizon)


def init(keys: jax.Array, config: PolicyConfig) -> dict[str, PyTree]:
    """Fresh parameters "input" and "output", boxed; consumes the 3 `keys`.

    Raises:
      ValueError: the policy conditions its norms on a flow time, which is not there.
    """
    check_no_flow_time(config)
    width = config.mot.experts["action"].width
    hidden = jnp.zeros((1, config.horizon, width))
    state = jnp.zeros((1, config.proprio_dim))
    return {
        "input": _input_module(config).init(keys[0], state)["params"],
        "output": LaplaceOutput(config.action_dim, LOG_SCALE_RANGE).init(
            keys[1], hidden
        )["params"],
    }


def predict(
    params: PyTree, cache: PrefixCache, proprio: jax.Array, *, config: PolicyConfig
) -> Laplace:
    """The law of a chunk; `proprio` float32 [B, proprio_dim], normalised and padded."""
    chex.assert_shape(proprio, (None, config.proprio_dim))
    ends = params["action"]
    tokens = _input_module(config).apply({"params": ends["input"]}, proprio)
    hidden = run_suffix(params, cache, tokens, None, config=config)
    return Laplace(
        *LaplaceOutput(config.action_dim, LOG_SCALE_RANGE).apply(
            {"params": ends["output"]}, hidden
        )
    )


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
    """The mean absolute error, and the scale's likelihood, float32 []."""
    del key, draws
    location, log_scale = predict(params, cache, proprio, config=config)
    error = jnp.abs(chunk - location)
    missed = jax.lax.stop_gradient(error)
    scale_loss = log_scale + missed * jnp.exp(-log_scale)
    where = None if loss_mask is None else loss_mask[..., None]
    return jnp.mean(error, where=where) + jnp.mean(scale_loss, where=where)


def act(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
) -> ActionChunk:
    """The most likely chunk, float32 [B, H, D]; the key is not used."""
    del key, steps
    return predict(params, cache, proprio, config=config).location


def explore(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: LaplaceSampler,
) -> tuple[ActionChunk, LaplaceTrace]:
    """A random chunk [B, H, D] and its trace; consumes `key`."""
    location, log_scale = predict(params, cache, proprio, config=config)
    log_scale = log_scale + math.log(sampler.scale)
    noise = jax.random.laplace(key, location.shape)
    chunk = location + jnp.exp(log_scale) * noise
    return chunk, LaplaceTrace(chunk, Laplace(location, log_scale))


def score(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    trace: LaplaceTrace,
    *,
    config: PolicyConfig,
    sampler: LaplaceSampler,
    executed_mask: jax.Array | None,
) -> Score:
    """The likelihood of recorded chunks under `params`; the scale stays as recorded.

    As in RIPT-VLA the scale is frozen while the location is optimised: with it free,
    the fastest way to a higher likelihood of what succeeded is to stop exploring.
    """
    location = predict(params, cache, proprio, config=config).location
    moved = trace.distribution._replace(location=location)
    mask = likelihood_mask(config, sampler.exec_horizon, executed_mask=executed_mask)
    return _score(trace, moved, mask)


def score_recorded(
    trace: LaplaceTrace,
    *,
    config: PolicyConfig,
    sampler: LaplaceSampler,
    executed_mask: jax.Array | None,
) -> Score:
    """The likelihood under the parameters that sampled."""
    mask = likelihood_mask(config, sampler.exec_horizon, executed_mask=executed_mask)
    return _score(trace, trace.distribution, mask)


def exact_kl(new: Score, other: Score) -> jax.Array:
    """KL(new ‖ other) of Laplace laws, float32 [1, B].

    Σ [ log(b/b_θ) + |m_θ - m| / b + b_θ/b exp(-|m_θ - m| / b_θ) - 1 ]
    """
    (mean, log_scale), (other_mean, other_log_scale) = (
        new.distribution,
        other.distribution,
    )
    chex.assert_equal_shape([mean, log_scale, other_mean, other_log_scale])
    distance = jnp.abs(mean - other_mean)
    log_q = log_scale - other_log_scale
    entries = (
        distance * jnp.exp(-other_log_scale)
        + jnp.exp(log_q - distance * jnp.exp(-log_scale))
        - 1.0
        - log_q
    )
    return jnp.sum(entries, axis=(1, 2))[None]


def _score(trace: LaplaceTrace, distribution: Laplace, mask: jax.Array) -> Score:
    """Densities over the entries that count; elsewhere the law is the recorded one."""
    recorded = trace.distribution
    counted = jnp.broadcast_to(mask, trace.chunk.shape)
    location = jnp.where(counted, distribution.location, recorded.location)
    distance = jnp.abs(trace.chunk - location)
    log_scale = recorded.log_scale
    density = -distance * jnp.exp(-log_scale) - log_scale - math.log(2.0)
    log_prob = jnp.sum(jnp.where(counted, density, 0.0), axis=(1, 2))
    has_density = jnp.ones((1, len(log_prob)), bool)
    return Score(log_prob, log_prob[None], has_density, Laplace(location, log_scale))


def _input_module(config: PolicyConfig) -> QueryInput:
    width = config.mot.experts["action"].width
    return QueryInput(width, config.proprio_token, config.horizon)


L1 = ActionHead(
    init=init,
    sft_loss=sft_loss,
    act=act,
    explore=explore,
    score=score,
    score_recorded=score_recorded,
    exact_kl=exact_kl,
    make_sampler=make_sampler,
)
