"""The parameter tree, by expert and by name: initial values and shardings.

    {"reasoning": {"encoder", "embedder", "layers", "final_norm"},
     "spatial":   {"encoder", "layers", "final_norm"},
     "action":    {"input", "layers", "final_norm", "output"}}

Every layer stack has its layers on axis 0. An absent expert has no entry. With
`noise_head` the action expert has a "noise". PPO adds its critic, which is no expert,
under "value" (`init_value`).
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from omnivla_jax.core import compile as compilation
from omnivla_jax.core import sharding
from omnivla_jax.core.types import PyTree
from omnivla_jax.models.mot import LayerCache
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import action_head
from omnivla_jax.policy.heads.flow import init_noise_boxed
from omnivla_jax.policy.modules import MOT_PARTS, build_modules

VALUE = "value"  # where the critic's parameters are kept


def init(key: jax.Array, config: PolicyConfig) -> PyTree:
    """Fresh float32 parameters, {expert name: ...}. The key is consumed."""
    return nn.unbox(_init_boxed(key, config))


def shardings(mesh: Mesh, config: PolicyConfig) -> PyTree:
    """The sharding of every parameter, for `jax.jit(init, out_shardings=...)`."""
    return sharding.tree_shardings(mesh, _boxed_shapes(config))


def init_noise(key: jax.Array, config: PolicyConfig) -> PyTree:
    """A fresh noise head, to be kept as params["action"]["noise"]; consumes `key`.

    For parameters that were trained without one; `init` draws it under `noise_head`.
    """
    return nn.unbox(init_noise_boxed(key, config))


def init_value(key: jax.Array, config: PolicyConfig) -> PyTree:
    """A fresh critic, to be kept as params["value"]; the key is consumed."""
    return nn.unbox(_init_value_boxed(key, config))


def value_shardings(mesh: Mesh, config: PolicyConfig) -> PyTree:
    """The sharding of the critic's every parameter, as `shardings` of the policy's."""
    draw = functools.partial(_init_value_boxed, config=config)
    return sharding.tree_shardings(mesh, jax.eval_shape(draw, jax.random.key(0)))


def init_sharded(key: jax.Array, config: PolicyConfig, *, mesh: Mesh) -> PyTree:
    """Fresh parameters, every shard drawn where it stays; the key is consumed.

    No device holds more than its own shards: for policies larger than a device.
    """
    draw = jax.jit(
        functools.partial(init, config=config),
        out_shardings=shardings(mesh, config),
        compiler_options=compilation.compiler_options() | compilation.NO_OPTIMIZATION,
    )
    return draw(key)


def shapes(config: PolicyConfig) -> PyTree:
    """The parameter tree as shapes and dtypes; no number is computed."""
    return nn.unbox(_boxed_shapes(config))


@functools.cache
def _boxed_shapes(config: PolicyConfig) -> PyTree:
    """Shapes whose leaves carry their logical axis names."""
    draw = functools.partial(_init_boxed, config=config)
    return jax.eval_shape(draw, jax.random.key(0))


def _init_boxed(key: jax.Array, config: PolicyConfig) -> PyTree:
    """Parameters whose leaves carry their logical axis names."""
    mot_key, image_key, word_key, spatial_key, *head_keys = jax.random.split(key, 7)
    modules, size = build_modules(config), config.vision.image_size
    images = jnp.zeros((1, config.views, size, size, 3))
    tokens = jnp.zeros((1, config.max_tokens), jnp.int32)
    params = _init_mot(mot_key, config)
    params["reasoning"]["encoder"] = modules.siglip.init(image_key, images)["params"]
    params["reasoning"]["embedder"] = modules.embedder.init(word_key, tokens)["params"]
    if modules.spatial_encoder is not None:
        params["spatial"]["encoder"] = modules.spatial_encoder.init(
            spatial_key, images
        )["params"]
    params["action"] |= action_head(config).init(jnp.stack(head_keys), config)
    return params


def _init_value_boxed(key: jax.Array, config: PolicyConfig) -> PyTree:
    """The critic's parameters; one prefix token will do."""
    layer = config.mot.reasoning
    tokens = jnp.zeros((1, layer.depth, 1, layer.kv_heads, layer.head_dim))
    cache, valid = LayerCache(tokens, tokens), jnp.ones((1, 1), bool)
    state = jnp.zeros((1, config.proprio_dim))
    return build_modules(config).value_head.init(key, cache, valid, state)["params"]


def _init_mot(key: jax.Array, config: PolicyConfig) -> dict[str, dict[str, PyTree]]:
    """The transformer's layers and norms by expert; one token a stream will do."""
    experts = config.mot.experts
    streams = {
        name: jnp.zeros((1, 1, expert.width)) for name, expert in experts.items()
    }
    time = jnp.zeros((1, experts["action"].width))
    count = len(streams)
    tree = build_modules(config).mot.init(
        key,
        streams,
        positions=jnp.zeros((1, count), jnp.int32),
        mask=jnp.ones((1, count, count), bool),
        conditions={"action": time} if config.time_conditioning == "adaptive" else {},
    )["params"]
    return {name: {part: tree[part][name] for part in MOT_PARTS} for name in experts}
