"""Times of a policy's prefix, denoising steps and training steps.

Random inputs and weights; for acting, weights are cast to the compute dtype once.
Times are the best of five. `mfu` is model FLOPs (matrix products, nothing counted twice
for rematerialisation) per second of a training step, over the peak that `peak_source`
names.
"""

import dataclasses
import functools
import resource
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import flops, timing
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import precision
from omnivla_jax.core.types import Observation, PyTree
from omnivla_jax.policy import normalize, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.train import action, state
from omnivla_jax.train.state import OptimizerConfig


def measure(config: PolicyConfig, *, batch: int, steps: int) -> dict[str, Any]:
    """All measurements of one policy, times in milliseconds."""
    params = action.fresh_params(jax.random.key(0), config)
    found = {"parameters": state.count(params)}
    found |= acting(params, config, batch=batch, steps=steps)
    found |= learning(params, config, batch=batch)
    return found | _memory()


def acting(
    params: PyTree, config: PolicyConfig, *, batch: int, steps: int
) -> dict[str, Any]:
    """Prefix, denoising and both in one program."""
    served = jax.jit(precision.to_compute)(params)
    seen, key = _observation(config, batch), jax.random.key(1)
    encode = functools.partial(policy.encode_prefix, config=config)
    sample = functools.partial(policy.sample, config=config, steps=steps)

    def act(params: PyTree, seen: Observation, key: jax.Array) -> jax.Array:
        return sample(params, encode(params, seen), seen.state, key)

    prefix = compilation.jit(encode, fused=True)
    cache = prefix(served, seen)
    denoise = compilation.jit(sample, fused=True)
    denoising = timing.fastest(lambda _: denoise(served, cache, seen.state, key))
    chunk = compilation.jit(act, fused=True)
    return {
        "prefix_tokens": cache.valid.shape[1],
        "prefix_ms": _ms(timing.fastest(lambda _: prefix(served, seen))),
        "denoising_step_ms": _ms(denoising / steps),
        "chunk_ms": _ms(timing.fastest(lambda _: chunk(served, seen, key))),
    }


def learning(params: PyTree, config: PolicyConfig, *, batch: int) -> dict[str, Any]:
    """A step of stage II on as many observations, one flow time each."""
    settings = action.ActionConfig(
        OptimizerConfig(learning_rate=1e-4),
        steps=1,
        batch_size=batch,
        draws=1,
        steps_per_call=1,
    )
    units = normalize.unscaled(config.state_dim, config.action_dim)
    work = training_flops(params, config, batch=batch)
    dataset = _dataset(config, batch)
    step = action.make_step(config, settings)
    start = action.create(params, units, settings, seed=0)
    seconds = timing.fastest(lambda before: step(before, dataset)[0], start)
    peak, source = flops.peak()
    return {
        "training_step_ms": _ms(seconds),
        "tokens_per_second": round(batch * tokens(config) / seconds),
        "training_gflop": round(work / 1e9, 3),
        "mfu": float(f"{work / seconds / peak:.3g}"),
        "peak_tflops": round(peak / 1e12, 3),
        "peak_source": source,
    }


def training_flops(params: PyTree, config: PolicyConfig, *, batch: int) -> float:
    """Model FLOPs of one training step."""
    gradient = jax.grad(functools.partial(action.loss, config=_plain(config), draws=1))
    chunk = jnp.zeros((batch, config.horizon, config.action_dim))
    seen = _observation(config, batch)
    return flops.count(gradient, params, jax.random.key(0), seen, chunk)


def tokens(config: PolicyConfig) -> int:
    """Tokens of one observation and its chunk that go through the transformer."""
    seen = config.views * config.vision.tokens + config.max_tokens
    return seen + config.spatial_tokens + sum(config.suffix.values())


def _plain(config: PolicyConfig) -> PolicyConfig:
    """The same policy, storing every activation."""
    names = ("vision", "spatial_vision", "mot")
    parts = {name: getattr(config, name) for name in names}
    stored = {
        name: dataclasses.replace(part, remat=None)
        for name, part in parts.items()
        if part is not None
    }
    return dataclasses.replace(config, **stored)


def _observation(config: PolicyConfig, batch: int) -> Observation:
    data = _dataset(config, batch)
    return Observation(data.images, data.tokens, data.token_mask, data.state)


def _dataset(config: PolicyConfig, frames: int) -> action.Dataset:
    rng, size = np.random.default_rng(0), config.vision.image_size
    images = rng.integers(0, 256, (frames, config.views, size, size, 3))
    words = rng.integers(0, config.vocab, (frames, config.max_tokens))
    chunk = rng.normal(size=(frames, config.horizon, config.action_dim))
    return action.Dataset(
        images=jnp.asarray(images, jnp.uint8),
        state=jnp.asarray(rng.normal(size=(frames, config.state_dim)), jnp.float32),
        chunk=jnp.asarray(chunk, jnp.float32),
        instruction=jnp.arange(frames, dtype=jnp.int32),
        tokens=jnp.asarray(words, jnp.int32),
        token_mask=jnp.ones(words.shape, bool),
    )


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)


def _memory() -> dict[str, Any]:
    """The device's peak where it keeps one, else that of this process."""
    stats = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        size, source = stats["peak_bytes_in_use"], "device"
    else:
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size, source = 1024 * kibibytes, "process"
    return {"peak_memory_mib": round(size / 2**20), "peak_memory_source": source}
