"""The parameter tree, by expert and by name: initial values and shardings.

    {"reasoning": {"encoder", "embedder", "layers", "final_norm"},
     "spatial":   {"encoder", "layers", "final_norm"},
     "action":    {"input", "layers", "final_norm", "output"}}

Every layer stack has its layers on axis 0. An absent expert has no entry. With
`noise_head` the action expert has a "noise". PPO adds its critic, which is no expert,
under "value" (`init_value`).
"""

import functools
from typing import Any, Iterable, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from omnivla_jax.core import compile as compilation
from omnivla_jax.core import sharding
from omnivla_jax.core.types import PyTree
from omnivla_jax.models.encoders.siglip import Siglip
from omnivla_jax.models.encoders.spatial_encoder import SpatialEncoder
from omnivla_jax.models.heads.flow_action import (
    TIME_CONDITIONING,
    ActionOutput,
    AdaptiveInput,
    ConcatenatedInput,
)
from omnivla_jax.models.heads.noise import NoiseHead
from omnivla_jax.models.heads.value import ValueHead
from omnivla_jax.models.layers import WordEmbedder
from omnivla_jax.models.mot import LayerCache, MixtureOfTransformers
from omnivla_jax.policy.config import PolicyConfig

MOT_PARTS = ("layers", "final_norm")
VALUE = "value"  # where the critic's parameters are kept


class Modules(NamedTuple):
    """The Linen modules of a policy, without parameters."""

    siglip: Siglip
    embedder: WordEmbedder
    spatial_encoder: SpatialEncoder | None
    mot: MixtureOfTransformers
    action_input: ConcatenatedInput | AdaptiveInput
    action_output: ActionOutput
    noise_head: NoiseHead
    value_head: ValueHead


def modules(config: PolicyConfig) -> Modules:
    """The modules that `config` describes."""
    experts = config.mot.experts
    action_input = TIME_CONDITIONING[config.time_conditioning]
    spatial = None
    if config.spatial_vision is not None:
        spatial = SpatialEncoder(
            config.spatial_vision,
            config.registers,
            experts["spatial"].width,
            config.dino,
        )
    return Modules(
        siglip=Siglip(config.vision, experts["reasoning"].width),
        embedder=WordEmbedder(config.vocab, experts["reasoning"].width),
        spatial_encoder=spatial,
        mot=MixtureOfTransformers(config.mot),
        action_input=action_input(experts["action"].width, config.state_token),
        action_output=ActionOutput(config.action_dim),
        noise_head=NoiseHead(config.action_dim, *config.noise_range),
        value_head=ValueHead(config.value_queries, config.value_width),
    )


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
    return nn.unbox(_init_noise_boxed(key, config))


def init_value(key: jax.Array, config: PolicyConfig) -> PyTree:
    """A fresh critic, to be kept as params["value"]; the key is consumed."""
    return nn.unbox(_init_value_boxed(key, config))


def value_shardings(mesh: Mesh, config: PolicyConfig) -> PyTree:
    """The sharding of the critic's every parameter, as `shardings` of the policy's."""
    draw = functools.partial(_init_value_boxed, config=config)
    return sharding.tree_shardings(mesh, jax.eval_shape(draw, jax.random.key(0)))


def init_sharded(key: jax.Array, config: PolicyConfig, *, mesh: Mesh) -> PyTree:
    """Fresh parameters, every shard drawn where it stays; the key is consumed.

    No device ever holds more than its own shards: for policies larger than a device.
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


def mot_variables(params: PyTree, experts: Iterable[str]) -> PyTree:
    """Variables of the transformer for some experts: by part, then by expert."""
    names = list(experts)
    return {"params": {p: {e: params[e][p] for e in names} for p in MOT_PARTS}}


@functools.cache
def _boxed_shapes(config: PolicyConfig) -> PyTree:
    """Shapes whose leaves carry their logical axis names."""
    draw = functools.partial(_init_boxed, config=config)
    return jax.eval_shape(draw, jax.random.key(0))


def apply(module: nn.Module, params: PyTree, *inputs: Any) -> Any:
    """What `module` makes of `inputs` under `params`."""
    return module.apply({"params": params}, *inputs)


def _init_boxed(key: jax.Array, config: PolicyConfig) -> PyTree:
    """Parameters whose leaves carry their logical axis names."""
    keys = jax.random.split(key, 7)
    mot_key, see_key, word_key, spatial_key, in_key, out_key, noise_key = keys
    parts, size = modules(config), config.vision.image_size
    images = jnp.zeros((1, config.views, size, size, 3))
    words = jnp.zeros((1, config.max_tokens), jnp.int32)
    state, tau = jnp.zeros((1, config.state_dim)), jnp.zeros(1)
    chunk = jnp.zeros((1, config.horizon, config.action_dim))
    hidden = jnp.zeros((1, config.horizon, config.mot.experts["action"].width))
    params = _init_mot(mot_key, config)
    params["reasoning"]["encoder"] = _fresh(parts.siglip, see_key, images)
    params["reasoning"]["embedder"] = _fresh(parts.embedder, word_key, words)
    if parts.spatial_encoder is not None:
        spatial = _fresh(parts.spatial_encoder, spatial_key, images)
        params["spatial"]["encoder"] = spatial
    params["action"]["input"] = _fresh(parts.action_input, in_key, state, chunk, tau)
    params["action"]["output"] = _fresh(parts.action_output, out_key, hidden)
    if config.noise_head:
        params["action"]["noise"] = _init_noise_boxed(noise_key, config)
    return params


def _init_noise_boxed(key: jax.Array, config: PolicyConfig) -> PyTree:
    """The noise head's parameters; one action token will do."""
    token = jnp.zeros((1, 1, config.mot.experts["action"].width))
    return _fresh(modules(config).noise_head, key, token)


def _init_value_boxed(key: jax.Array, config: PolicyConfig) -> PyTree:
    """The critic's parameters; one prefix token will do."""
    layer = config.mot.reasoning
    tokens = jnp.zeros((1, layer.depth, 1, layer.kv_heads, layer.head_dim))
    cache, valid = LayerCache(tokens, tokens), jnp.ones((1, 1), bool)
    state = jnp.zeros((1, config.state_dim))
    return _fresh(modules(config).value_head, key, cache, valid, state)


def _init_mot(key: jax.Array, config: PolicyConfig) -> dict[str, dict[str, PyTree]]:
    """The transformer's layers and norms by expert; one token a stream will do."""
    experts = config.mot.experts
    streams = {name: jnp.zeros((1, 1, own.width)) for name, own in experts.items()}
    time = jnp.zeros((1, experts["action"].width))
    count = len(streams)
    tree = _fresh(
        modules(config).mot,
        key,
        streams,
        positions=jnp.zeros((1, count), jnp.int32),
        mask=jnp.ones((1, count, count), bool),
        conditions={"action": time} if config.time_conditioning == "adaptive" else {},
    )
    return {name: {part: tree[part][name] for part in MOT_PARTS} for name in experts}


def _fresh(module: nn.Module, key: jax.Array, *inputs: Any, **named: Any) -> PyTree:
    return module.init(key, *inputs, **named)["params"]
