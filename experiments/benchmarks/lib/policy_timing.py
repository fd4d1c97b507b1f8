"""Times of a policy's prefix, denoising steps and training steps.

Random inputs and weights. Acting holds the weights in the compute dtype and nothing
else, learning only its training state: with the gradient, four float32 numbers a
parameter, which for `full` make 66 GiB. Times are the best of five. `mfu` is model
FLOPs (matrix products, nothing counted twice for rematerialisation) per second of a
training step, over the peak that `peak_source` names.
"""

import dataclasses
import functools
import math
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
from omnivla_jax.train import sft, sft_data
from omnivla_jax.train.sharding import SINGLE_DEVICE, MeshSharding
from omnivla_jax.train.state import OptimizerConfig, TrainState


def measure(config: PolicyConfig, *, batch: int, steps: int) -> dict[str, Any]:
    """All measurements of one policy, times in milliseconds."""
    shapes = jax.tree.leaves(parameters.shapes(config))
    times = acting(config, batch=batch, steps=steps) | learning(config, batch=batch)
    peak, source = memory.peak()
    return {
        "parameters": sum(math.prod(leaf.shape) for leaf in shapes),
        **times,
        "peak_memory_mib": round(peak / memory.MIB),
        "peak_memory_source": source,
    }


def acting(config: PolicyConfig, *, batch: int, steps: int) -> dict[str, Any]:
    """Times of the prefix, of denoising, and of both in one program.

    Args:
      config: of the policy.
      batch: observations.
      steps: denoising steps.
    """
    params = _init(lambda key: precision.to_compute(policy.init(key, config)))
    data = random_dataset(config, batch)
    observation = Observation(data.images, data.tokens, data.token_mask, data.state)
    key = jax.random.key(1)
    encode = functools.partial(policy.encode_prefix, config=config)
    sample = functools.partial(policy.sample, config=config, steps=steps)
    prefix = compilation.jit(encode, fused=True)
    cache = prefix(params, observation)
    denoise = compilation.jit(sample, fused=True)
    proprio = observation.proprio
    chunk = compilation.jit(
        lambda params, observation, key: sample(
            params, encode(params, observation), observation.proprio, key
        ),
        fused=True,
    )
    milliseconds = {
        name: 1e3 * timing.fastest(run).wall
        for name, run in {
            "prefix": lambda _: prefix(params, observation),
            "denoising": lambda _: denoise(params, cache, proprio, key),
            "chunk": lambda _: chunk(params, observation, key),
        }.items()
    }
    return {
        "prefix_tokens": cache.valid.shape[1],
        "prefix_ms": round(milliseconds["prefix"], 3),
        "denoising_step_ms": round(milliseconds["denoising"] / steps, 3),
        "chunk_ms": round(milliseconds["chunk"], 3),
    }


def learning(config: PolicyConfig, *, batch: int) -> dict[str, Any]:
    """Time of an SFT step on `batch` observations, one flow time each."""
    model_flops = training_flops(config, batch=batch)
    dataset = random_dataset(config, batch)
    step, init = sft_step(config, batch=batch)
    seconds = timing.fastest(lambda before: step(before, dataset)[0], _init(init)).wall
    peak, source = flops.peak()
    return {
        "training_step_ms": round(1e3 * seconds, 3),
        "tokens_per_second": round(batch * tokens(config) / seconds),
        "training_gflop": round(model_flops / 1e9, 3),
        "mfu": float(f"{model_flops / seconds / peak:.3g}"),
        "peak_tflops": round(peak / 1e12, 3),
        "peak_source": source,
    }


def sft_step(
    config: PolicyConfig,
    *,
    batch: int,
    mesh_sharding: MeshSharding = SINGLE_DEVICE,
) -> tuple[jax.stages.Wrapped, Callable[[jax.Array], TrainState]]:
    """An SFT step on `batch` observations, and key -> a random state before it."""
    optimizer = OptimizerConfig(learning_rate=1e-4)
    sft_config = sft.SftConfig(
        optimizer, steps=1, batch_size=batch, draws=1, steps_per_call=1
    )

    def init(key: jax.Array) -> TrainState:
        units = normalize.identity_normalizer(
            config.robot_proprio_dim, config.robot_action_dim
        )
        return sft.create(policy.init(key, config), units, sft_config, seed=0)

    step = sft.make_step(config, sft_config, mesh_sharding=mesh_sharding)
    return step, init


def training_flops(config: PolicyConfig, *, batch: int) -> float:
    """Model FLOPs of a training step without rematerialisation, from shapes alone."""
    names = ("vision", "spatial_vision", "mot")
    parts = {name: getattr(config, name) for name in names}
    stored = {
        name: dataclasses.replace(part, remat=None)
        for name, part in parts.items()
        if part is not None
    }
    config = dataclasses.replace(config, **stored)
    gradient = jax.grad(functools.partial(sft.loss, config=config, draws=1))
    data = jax.eval_shape(functools.partial(random_dataset, config, batch))
    shapes, key = parameters.shapes(config), jax.random.key(0)
    observation = Observation(data.images, data.tokens, data.token_mask, data.state)
    return flops.count(gradient, shapes, key, observation, data.chunk)


def tokens(config: PolicyConfig) -> int:
    """Tokens of one observation and its chunk that go through the transformer."""
    prefix = config.views * config.vision.tokens + config.max_tokens
    return prefix + config.spatial_tokens + sum(config.suffix.values())


def random_dataset(config: PolicyConfig, frames: int) -> sft_data.Dataset:
    """Random demonstrations in which every frame has its own instruction."""
    rng, size = np.random.default_rng(0), config.vision.image_size
    images = rng.integers(0, 256, (frames, config.views, size, size, 3))
    words = rng.integers(0, config.vocab, (frames, config.max_tokens))
    chunk = rng.normal(size=(frames, config.horizon, config.action_dim))
    return sft_data.Dataset(
        images=jnp.asarray(images, jnp.uint8),
        state=jnp.asarray(rng.normal(size=(frames, config.proprio_dim)), jnp.float32),
        chunk=jnp.asarray(chunk, jnp.float32),
        instruction=jnp.arange(frames, dtype=jnp.int32),
        tokens=jnp.asarray(words, jnp.int32),
        token_mask=jnp.ones(words.shape, bool),
    )


def _init(init: Callable[[jax.Array], PyTree]) -> PyTree:
    """`init(key)` as one program, which frees intermediate arrays."""
    program = jax.jit(init, compiler_options=compilation.NO_OPTIMIZATION)
    return program(jax.random.key(0))
