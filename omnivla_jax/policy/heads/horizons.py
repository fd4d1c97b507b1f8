"""Mixture of Horizons (2511.19433): a flow head for several lengths of its chunk.

One action expert predicts the velocity of the first h actions for several h at once,
and a gate mixes the predictions of each action:

    v[t] = sum over h > t of g_h[t] v_h[t],    g[t] = softmax of a linear gate
    sft_loss = sum_h |v_h - u|^2 + |v - u|^2 + 0.001 balance

The mixture is one velocity: sampling, exploring and scoring are the flow head's.
Where the horizons agree, more of the chunk can be executed (`consensus_length`).

Axes: B batch, G horizons, R draws of (noise, tau), H chunk length, D action dimensions.
"""

import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import precision
from omnivla_jax.core.types import ActionChunk, PyTree
from omnivla_jax.flow import kl, ode, path
from omnivla_jax.models.heads.flow_action import ActionOutput
from omnivla_jax.models.layers import Dense
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import flow, flow_velocity, suffix
from omnivla_jax.policy.heads.base import ActionHead
from omnivla_jax.policy.heads.flow_sampler import make_sampler
from omnivla_jax.policy.prefix import PrefixCache

BALANCE_WEIGHT = 1e-3


class Mixture(NamedTuple):
    """The velocities of all horizons and their weights; 0 beyond a horizon."""

    velocities: jax.Array  # float32 [G, B, H, D]
    gates: jax.Array  # float32 [G, B, H]: for every action they sum to 1

    @property
    def velocity(self) -> jax.Array:
        """The gated sum, float32 [B, H, D]."""
        return jnp.sum(self.gates[..., None] * self.velocities, axis=0)


def horizons(config: PolicyConfig) -> np.ndarray:
    """The G horizons, int [G], rising to H; by default four equal steps."""
    if config.horizons:
        return np.array(config.horizons)
    quarters = [math.ceil(config.horizon * part / 4) for part in (1, 2, 3, 4)]
    return np.unique(quarters)


def init(keys: jax.Array, config: PolicyConfig) -> dict[str, PyTree]:
    """The flow head's fresh parameters and "gate", boxed; consumes the 3 `keys`.

    Raises:
      ValueError: there is a noise head, which reads one horizon's tokens.
    """
    if config.noise_head:
        raise ValueError(
            "The horizons head has no noise head: set policy.noise_head=False, and "
            "another sampler.schedule than 'learned'."
        )
    hidden = jnp.zeros((1, 1, config.mot.experts["action"].width))
    gate = _gate().init(jax.random.fold_in(keys[2], 1), hidden)["params"]
    return flow_velocity.init(keys, config) | {"gate": gate}


def mix_horizons(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    *,
    config: PolicyConfig,
) -> Mixture:
    """Every horizon's velocity at a chunk; arguments as of `flow.velocity`.

    A horizon's tokens are the first h, which see each other both ways: with a causal
    suffix no action could tell which horizon it is in.
    """
    tokens, condition = flow_velocity.input_tokens(params, proprio, chunk, tau, config)
    inside = jnp.arange(config.horizon) < horizons(config)[:, None]  # [G, H]

    def encode(inside: jax.Array) -> jax.Array:
        return suffix.run_suffix(
            params,
            cache,
            tokens,
            condition,
            config=config,
            attention="bidirectional",
            visible=inside,
        )

    hidden = jax.vmap(encode)(inside)
    ends, inside = params["action"], inside[:, None]
    output = ActionOutput(config.action_dim)
    velocities = jax.vmap(lambda x: output.apply({"params": ends["output"]}, x))(hidden)
    logits = _gate().apply({"params": ends["gate"]}, precision.to_float32(hidden))
    gates = jax.nn.softmax(jnp.where(inside, logits[..., 0], -jnp.inf), axis=0)
    return Mixture(jnp.where(inside[..., None], velocities, 0.0), gates)


def velocity(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    *,
    config: PolicyConfig,
) -> jax.Array:
    """The mixed velocity float32 [B, H, D]; arguments as of `flow.velocity`."""
    return mix_horizons(params, cache, proprio, chunk, tau, config=config).velocity


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
    """Flow matching of every horizon and of their mixture, float32 []; consumes `key`.

    The draws are those of the flow head's loss under the same key.
    """
    noise_key, tau_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, (draws, *chunk.shape))
    tau = path.draw_tau(tau_key, (draws, chunk.shape[0]))
    inside = jnp.arange(config.horizon) < horizons(config)[:, None, None]  # [G, 1, H]
    counted = jnp.ones(chunk.shape[:2], bool) if loss_mask is None else loss_mask

    def error(noise: jax.Array, tau: jax.Array) -> jax.Array:
        noisy = path.interpolate(noise, chunk, tau)
        target = path.target_velocity(noise, chunk)
        at_chunk = mix_horizons(params, cache, proprio, noisy, tau, config=config)
        by_horizon = jnp.mean(jnp.square(at_chunk.velocities - target), axis=-1)
        fused = jnp.mean(jnp.square(at_chunk.velocity - target), axis=-1)
        seen = (inside & counted).astype(jnp.float32)  # [G, B, H]
        numbers = jnp.maximum(jnp.sum(seen, axis=(1, 2)), 1.0)
        own = jnp.sum(jnp.sum(seen * by_horizon, axis=(1, 2)) / numbers)
        return (
            own
            + jnp.mean(fused, where=counted)
            + BALANCE_WEIGHT * balance(at_chunk.gates, config=config)
        )

    return jnp.mean(jax.vmap(error)(noise, tau))


def balance(gates: jax.Array, *, config: PolicyConfig) -> jax.Array:
    """How unequally gates [G, B, H] weigh the horizons: float32 [], 0 where equally.

    The squared coefficient of variation of the mean weights of the horizons that reach
    a segment, the actions between two of them; the mean over segments.
    """
    ends = horizons(config)
    chex.assert_shape(gates, (len(ends), None, config.horizon))
    total = jnp.zeros(())
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends)):
        weights = jnp.mean(gates[number:, :, start:end], axis=(1, 2))
        total += jnp.var(weights) / jnp.square(jnp.mean(weights))
    return total / len(ends)


def act_by_consensus(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
    ratio: float = 1.0,
) -> tuple[ActionChunk, jax.Array]:
    """A chunk by the ODE and how many of its actions to execute, int32 [B].

    The horizons' chunks are those that they would end in from the last step.

    Args:
      params, cache, proprio, key, config, steps: as of an `ActionHead`'s `act`.
      ratio: of `consensus_length`.
    """
    mixed = functools.partial(velocity, params, cache, proprio, config=config)
    noise = flow.draw_noise(key, proprio, config)
    before = ode.sample(mixed, noise, steps=steps, taken=steps - 1)
    tau = jnp.full(len(proprio), (steps - 1) / steps)
    at_chunk = mix_horizons(params, cache, proprio, before, tau, config=config)
    chunk = before + at_chunk.velocity / steps
    error = jnp.mean(jnp.abs(at_chunk.velocities - at_chunk.velocity), axis=-1) / steps
    return chunk, consensus_length(error, config=config, ratio=ratio)


def consensus_length(
    error: jax.Array, *, config: PolicyConfig, ratio: float
) -> jax.Array:
    """The longest beginning of a chunk on which its horizons agree, int32 [B].

    Args:
      error: float32 [G, B, H], how far each horizon's action is from the mixed one.
      config: the policy's sizes.
      ratio: an action is agreed on where its horizons are at most `ratio` times as far
        apart as on the actions of the shortest horizon, which are executed in any case.
        Where one horizon is left there is nothing to agree on, and execution ends.
    """
    ends = horizons(config)
    inside = np.arange(config.horizon) < ends[:, None]
    count = inside.sum(0)
    mean = jnp.sum(jnp.where(inside[:, None], error, 0.0), axis=0) / count  # [B, H]
    limit = ratio * jnp.mean(mean[:, : ends[0]], axis=1, keepdims=True)
    place = np.arange(config.horizon)
    agreed = ((mean <= limit) & (count > 1)) | (place < ends[0])
    return jnp.sum(jnp.cumprod(agreed, axis=1), axis=1, dtype=jnp.int32)


def _gate() -> Dense:
    """The linear gate on action tokens; it weighs all horizons equally at first."""
    return Dense(1, (None, None), from_zero=True)


HORIZONS = ActionHead(
    init=init,
    sft_loss=sft_loss,
    act=functools.partial(flow.sample, velocity_of=velocity),
    explore=functools.partial(flow.explore, velocity_of=velocity),
    score=functools.partial(flow.score, velocity_of=velocity),
    score_recorded=flow.score_recorded,
    exact_kl=kl.transition_kl,
    make_sampler=make_sampler,
)
