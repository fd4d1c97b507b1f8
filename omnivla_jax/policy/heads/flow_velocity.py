"""The flow head's network: noise, a velocity at a chunk, and its parameters.

Axes: B batch, H chunk length, D action dimensions, T tokens of the suffix, E width of
the action expert.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree
from omnivla_jax.flow import sde
from omnivla_jax.models.heads.flow_action import TIME_CONDITIONING, ActionOutput
from omnivla_jax.models.heads.noise import NoiseHead
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import suffix
from omnivla_jax.policy.prefix import PrefixCache


def init(keys: jax.Array, config: PolicyConfig) -> dict[str, PyTree]:
    """Fresh parameters "input" and "output", and "noise" where there is a noise head.

    Boxed with their logical axes; the 3 `keys` are consumed.
    """
    in_key, out_key, noise_key = keys
    state, tau = jnp.zeros((1, config.proprio_dim)), jnp.zeros(1)
    chunk = jnp.zeros((1, config.horizon, config.action_dim))
    hidden = jnp.zeros((1, config.horizon, config.mot.experts["action"].width))
    params = {
        "input": _input_module(config).init(in_key, state, chunk, tau)["params"],
        "output": ActionOutput(config.action_dim).init(out_key, hidden)["params"],
    }
    if config.noise_head:
        params["noise"] = init_noise_boxed(noise_key, config)
    return params


def init_noise_boxed(key: jax.Array, config: PolicyConfig) -> PyTree:
    """The noise head's parameters, boxed; one action token will do. Consumes `key`."""
    token = jnp.zeros((1, 1, config.mot.experts["action"].width))
    return NoiseHead(config.action_dim, *config.noise_range).init(key, token)["params"]


def velocity(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    *,
    config: PolicyConfig,
) -> jax.Array:
    """v(chunk, tau | observation) float32 [B, H, D]; reads params["action"] only.

    proprio [B, proprio_dim], chunk [B, H, D], tau [B] in [0, 1], 1 at the data. For
    many (noise, tau) per observation map over them with `jax.vmap`, cache unmapped: the
    prefix is then shared, not copied.
    """
    hidden = action_tokens(params, cache, proprio, chunk, tau, config)
    output = ActionOutput(config.action_dim)
    return output.apply({"params": params["action"]["output"]}, hidden)


def noisy_velocity(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    *,
    config: PolicyConfig,
) -> sde.NoisyVelocity:
    """`velocity`, and the deviation of the noise head, float32 [B, H, D] each.

    Raises:
      ValueError: the parameters have no noise head.
    """
    action = params["action"]
    if "noise" not in action:
        raise ValueError(
            "The schedule `learned` needs a noise head, but the action expert has "
            f"{sorted(action)}: set noise_head in PolicyConfig, and for parameters "
            "trained without it add policy.init_noise(key, config) as 'noise'."
        )
    hidden = action_tokens(params, cache, proprio, chunk, tau, config)
    return sde.NoisyVelocity(
        ActionOutput(config.action_dim).apply({"params": action["output"]}, hidden),
        NoiseHead(config.action_dim, *config.noise_range).apply(
            {"params": action["noise"]}, hidden
        ),
    )


def action_tokens(
    params: PyTree,
    cache: PrefixCache,
    proprio: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    config: PolicyConfig,
) -> jax.Array:
    """The action tokens after the last layer, [B, H, E]."""
    tokens, condition = input_tokens(params, proprio, chunk, tau, config)
    return suffix.run_suffix(params, cache, tokens, condition, config=config)


def input_tokens(
    params: PyTree,
    proprio: jax.Array,
    chunk: ActionChunk,
    tau: jax.Array,
    config: PolicyConfig,
) -> tuple[jax.Array, jax.Array | None]:
    """The tokens [B, T, E] that enter the first layer, and what norms depend on."""
    chex.assert_shape(chunk, (*tau.shape, config.horizon, config.action_dim))
    chex.assert_shape(proprio, (*tau.shape, config.proprio_dim))
    inputs = params["action"]["input"]
    return _input_module(config).apply({"params": inputs}, proprio, chunk, tau)


def draw_noise(key: jax.Array, proprio: jax.Array, config: PolicyConfig) -> jax.Array:
    """Noise [B, H, D] from a key, or from every row's own [B]; consumes `key`.

    With a key for every row it is the same in every batch.
    """
    shape = (config.horizon, config.action_dim)
    if key.ndim:
        chex.assert_shape(key, proprio.shape[:1])
        return jax.vmap(lambda row_key: jax.random.normal(row_key, shape))(key)
    return jax.random.normal(key, (len(proprio), *shape))


def _input_module(config: PolicyConfig) -> Any:
    width = config.mot.experts["action"].width
    return TIME_CONDITIONING[config.time_conditioning](width, config.proprio_token)
