"""Times of a policy's prefix, denoising steps and training steps.

Random inputs and weights. Acting holds the weights in the compute dtype and nothing
else, learning only its training state: with the gradient, four float32 numbers a
parameter, which for `full` make 66 GiB. Times are the best of five. `mfu` is model
FLOPs (matrix products, nothing counted twice for rematerialisation) per second of a
training step, over the peak that `peak_source` names.
"""

import dataclasses
import functools
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.lib import flops, memory, timing
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import precision
from omnivla_jax.core.types import Observation, PyTree
from omnivla_jax.policy import normalize, parameters, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.train import sft, state
from omnivla_jax.train.state import OptimizerConfig, TrainState


def measure(config: PolicyConfig, *, batch: int, steps: int) -> dict[str, Any]:
    """All measurements of one policy, times in milliseconds."""
    found = {"parameters": state.count(parameters.shapes(config))}
    found |= acting(config, batch=batch, steps=steps)
    found |= learning(config, batch=batch)
    return found | _memory()


def acting(config: PolicyConfig, *, batch: int, steps: int) -> dict[str, Any]:
    """Prefix, denoising and both in one program."""
    served = _once(functools.partial(served_params, config=config))
    seen, key = _seen(dataset_of(config, batch)), jax.random.key(1)
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


def learning(config: PolicyConfig, *, batch: int) -> dict[str, Any]:
    """A step of stage II on as many observations, one flow time each."""
    work, learner = training_flops(config, batch=batch), settings(batch)
    dataset = dataset_of(config, batch)
    step = sft.make_step(config, learner)
    start = _once(functools.partial(fresh_state, config=config, learner=learner))
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


def settings(batch: int) -> sft.SftConfig:
    """How a step on `batch` observations is taken."""
    return sft.SftConfig(
        OptimizerConfig(learning_rate=1e-4),
        steps=1,
        batch_size=batch,
        draws=1,
        steps_per_call=1,
    )


def served_params(key: jax.Array, *, config: PolicyConfig) -> PyTree:
    """Random parameters in the compute dtype; consumes `key`."""
    return precision.to_compute(policy.init(key, config))


def fresh_state(
    key: jax.Array, *, config: PolicyConfig, learner: sft.SftConfig
) -> TrainState:
    """Stage II at step 0 with random parameters; consumes `key`."""
    units = normalize.identity_normalizer(
        config.robot_state_dim, config.robot_action_dim
    )
    return sft.create(policy.init(key, config), units, learner, seed=0)


def training_flops(config: PolicyConfig, *, batch: int) -> float:
    """Model FLOPs of one training step, counted from shapes alone."""
    gradient = jax.grad(functools.partial(sft.loss, config=_plain(config), draws=1))
    data = jax.eval_shape(functools.partial(dataset_of, config, batch))
    shapes, key = parameters.shapes(config), jax.random.key(0)
    return flops.count(gradient, shapes, key, _seen(data), data.chunk)


def tokens(config: PolicyConfig) -> int:
    """Tokens of one observation and its chunk that go through the transformer."""
    seen = config.views * config.vision.tokens + config.max_tokens
    return seen + config.spatial_tokens + sum(config.suffix.values())


def _once(draw: Callable[[jax.Array], PyTree]) -> PyTree:
    """What `draw` makes of a key, in one program: what it holds on the way is freed."""
    return jax.jit(draw, compiler_options=compilation.NO_OPTIMIZATION)(
        jax.random.key(0)
    )


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


def _seen(data: sft.Dataset) -> Observation:
    return Observation(data.images, data.tokens, data.token_mask, data.state)


def dataset_of(config: PolicyConfig, frames: int) -> sft.Dataset:
    """Random demonstrations, of which every frame has an instruction of its own."""
    rng, size = np.random.default_rng(0), config.vision.image_size
    images = rng.integers(0, 256, (frames, config.views, size, size, 3))
    words = rng.integers(0, config.vocab, (frames, config.max_tokens))
    chunk = rng.normal(size=(frames, config.horizon, config.action_dim))
    return sft.Dataset(
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
    size, source = memory.peak()
    return {"peak_memory_mib": round(size / memory.MIB), "peak_memory_source": source}
