"""The flow head with a policy of its noise (DSRL, arXiv 2506.15799).

    noise = mean(o) + scale std(o) eps,   chunk = the flow's ODE from that noise

Fine-tuning trains the flow and leaves the noise as it was, N(0, 1). Online RL trains
the noise's law alone: its likelihood is exact, and the flow, from which no gradient
comes back, cannot forget what it was shown. K is 1.

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
from omnivla_jax.flow import ode
from omnivla_jax.models.heads.noise_policy import NoisePolicy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import flow
from omnivla_jax.policy.heads.base import ActionHead
from omnivla_jax.policy.prefix import PrefixCache

STEER = "steer"  # entry of the action expert's parameters: the noise's law


class NoiseLaw(NamedTuple):
    """The law of a chunk's noise."""

    mean: jax.Array  # float32 [B, H, D]
    log_std: jax.Array  # float32 [B, H, D]


class NoiseTrace(NamedTuple):
    """Noise and the law that it was drawn from."""

    noise: jax.Array  # float32 [B, H, D]
    distribution: NoiseLaw


@dataclass(frozen=True)
class NoiseSampler:
    """How noise is drawn; `scale` multiplies its deviation while exploring."""

    steps: int  # of the ODE
    scale: float | jax.Array = 1.0
    exec_horizon: int | None = None
    num_scored_steps: ClassVar[int] = 1  # the noise is drawn at once

    def __post_init__(self) -> None:
        scale_is_known = not isinstance(self.scale, jax.Array)  # see `scaled`
        if self.steps < 1 or (scale_is_known and not self.scale > 0):
            raise ValueError(
                f"sampler.steps is {self.steps} and sampler.scale {self.scale}: choose "
                "at least 1, and a positive one."
            )

    def scaled(self, factor: jax.Array) -> "NoiseSampler":
        """The sampler with `factor` times the deviation, float32 [] in (0, 1]."""
        return dataclasses.replace(self, scale=self.scale * factor)


def make_sampler(
    settings: Mapping[str, Any], *, exec_horizon: int | None
) -> NoiseSampler:
    """From "steps" and "scale"; a stochastic chain's settings have no meaning here."""
    return NoiseSampler(settings["steps"], settings["scale"], exec_horizon)


def init(keys: jax.Array, config: PolicyConfig) -> dict[str, PyTree]:
    """The flow head's fresh parameters, and those of the noise's law, boxed."""
    expert = config.mot.experts["action"]
    values = jnp.zeros((1, expert.depth, 1, expert.kv_heads * expert.head_dim))
    arguments = (values, jnp.ones((1, 1), bool), jnp.zeros((1, config.proprio_dim)))
    key = jax.random.fold_in(keys[2], 1)  # the flow head consumes the key itself
    steer = _noise_policy(config).init(key, *arguments)["params"]
    return flow.init(keys, config) | {STEER: steer}


def law(
    params: PyTree, cache: PrefixCache, proprio: jax.Array, *, config: PolicyConfig
) -> NoiseLaw:
    """The noise's law; gradients reach params["action"][STEER] alone."""
    chex.assert_shape(proprio, (None, config.proprio_dim))
    values = jax.lax.stop_gradient(cache.values)
    flat = values.reshape(*values.shape[:3], -1)
    steer = {"params": params["action"][STEER]}
    return NoiseLaw(*_noise_policy(config).apply(steer, flat, cache.valid, proprio))


def act(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
) -> ActionChunk:
    """A chunk [B, H, D] from noise of the law; consumes `key`."""
    mean, log_std = law(params, cache, proprio, config=config)
    noise = mean + jnp.exp(log_std) * flow.draw_noise(key, proprio, config)
    return _follow(params, cache, proprio, noise, config=config, steps=steps)


def explore(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    key: jax.Array,
    *,
    config: PolicyConfig,
    sampler: NoiseSampler,
) -> tuple[ActionChunk, NoiseTrace]:
    """A chunk [B, H, D] and the noise that it comes from; consumes `key`."""
    drawn = law(params, cache, proprio, config=config)
    drawn = drawn._replace(log_std=drawn.log_std + jnp.log(sampler.scale))
    eps = flow.draw_noise(key, proprio, config)
    noise = drawn.mean + jnp.exp(drawn.log_std) * eps
    chunk = _follow(params, cache, proprio, noise, config=config, steps=sampler.steps)
    return chunk, NoiseTrace(noise, drawn)


def score(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    trace: NoiseTrace,
    *,
    config: PolicyConfig,
    sampler: NoiseSampler,
    executed_mask: jax.Array | None,
) -> Score:
    """The likelihood of recorded noise: of all entries, which all shape the chunk."""
    del executed_mask
    now = law(params, cache, proprio, config=config)
    return _score(trace, now._replace(log_std=now.log_std + jnp.log(sampler.scale)))


def score_recorded(
    trace: NoiseTrace,
    *,
    config: PolicyConfig,
    sampler: NoiseSampler,
    executed_mask: jax.Array | None,
) -> Score:
    """The likelihood under the parameters that sampled."""
    del config, sampler, executed_mask
    return _score(trace, trace.distribution)


def exact_kl(new: Score, other: Score) -> jax.Array:
    """KL(new ‖ other) of Gaussian laws, float32 [1, B].

    Σ [ (m_θ - m)² / (2 s²) + (q² - 1) / 2 - log q ],   q = s_θ / s
    """
    (mean, log_std), (other_mean, other_log_std) = new.distribution, other.distribution
    chex.assert_equal_shape([mean, log_std, other_mean, other_log_std])
    log_q = log_std - other_log_std
    scaled = (mean - other_mean) * jnp.exp(-other_log_std)
    entries = jnp.square(scaled) / 2.0 + jnp.expm1(2.0 * log_q) / 2.0 - log_q
    return jnp.sum(entries, axis=(1, 2))[None]


def _follow(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    noise: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
) -> ActionChunk:
    """The chunk that the flow makes of noise [B, H, D]."""

    def velocity(x: jax.Array, tau: jax.Array) -> jax.Array:
        return flow.velocity(params, cache, proprio, x, tau, config=config)

    return ode.sample(velocity, noise, steps=steps)


def _score(trace: NoiseTrace, distribution: NoiseLaw) -> Score:
    """Gaussian densities of recorded noise."""
    mean, log_std = distribution
    z = (trace.noise - mean) * jnp.exp(-log_std)
    density = -0.5 * jnp.square(z) - log_std - 0.5 * math.log(2.0 * math.pi)
    log_prob = jnp.sum(density, axis=(1, 2))
    has_density = jnp.ones((1, len(log_prob)), bool)
    return Score(log_prob, log_prob[None], has_density, distribution)


def _noise_policy(config: PolicyConfig) -> NoisePolicy:
    return NoisePolicy(config.horizon, config.action_dim, config.value_width)


DSRL = ActionHead(
    init=init,
    sft_loss=flow.sft_loss,
    act=act,
    explore=explore,
    score=score,
    score_recorded=score_recorded,
    exact_kl=exact_kl,
    make_sampler=make_sampler,
)
