"""The seam of action heads: what a policy needs of its way to produce action chunks.

A head owns the ends of the action expert: its inputs, its outputs and the loss that
trains them. Between them runs the transformer over the prefix (`suffix.py`).

Axes: B batch, K scored steps (denoising steps; 1 where there are none), H chunk length,
D action dimensions.
"""

from typing import Any, Callable, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Score
from omnivla_jax.policy.config import PolicyConfig

# Where a head keeps what `fit` returns, in params["action"]; no optimizer changes it.
CODEC = "codec"


class Sampler(Protocol):
    """How a head explores: a frozen dataclass with the settings of that head."""

    @property
    def exec_horizon(self) -> int | None:
        """The actions of a chunk that are executed and count; None: all H."""

    @property
    def num_scored_steps(self) -> int | None:
        """K, the steps of a chunk that have a density; None: a token a number."""

    def scaled(self, factor: jax.Array) -> "Sampler":
        """The sampler with `factor` times the noise, float32 [], maybe traced."""


class ActionHead(NamedTuple):
    """One way to produce chunks of actions, as pure functions.

    Common arguments: `params` of the policy; `cache`, the encoded prefix; `proprio`
    float32 [B, proprio_dim], normalised and padded; `config`, the policy's sizes. Keys
    are consumed. A trace is what `explore` records for `score`, with leaves [B, ...].
    """

    # (keys [3], config) -> fresh parameters {"input", "output", ...} of the expert's
    # ends, boxed with their logical axes.
    init: Callable[[jax.Array, PolicyConfig], dict[str, PyTree]]
    # (params, cache, proprio, chunk, key, *, config, draws, loss_mask) -> float32 []:
    # the supervised loss of normalised and padded chunks [B, H, D]. `draws`: noise
    # samples of an observation, where there is noise. `loss_mask` bool [B, H]: the
    # actions that count; None: all.
    sft_loss: Callable[..., jax.Array]
    # (params, cache, proprio, key, *, config, steps) -> a chunk [B, H, D] as evaluated.
    # `key`: one for the batch, or one for every row, whose noise is then the same in
    # every batch. `steps`: of an ODE solver, where the head has one.
    act: Callable[..., ActionChunk]
    # (params, cache, proprio, key, *, config, sampler) -> a random chunk, its trace.
    explore: Callable[..., tuple[ActionChunk, PyTree]]
    # (params, cache, proprio, trace, *, config, sampler, executed_mask) -> the
    # likelihood of recorded chunks. `executed_mask` bool [B, exec_horizon]: False
    # behind an episode's end; None: all were executed.
    score: Callable[..., Score]
    # (trace, *, config, sampler, executed_mask) -> the same under the parameters that
    # sampled the chunks.
    score_recorded: Callable[..., Score]
    # (new, other) -> KL(new || other) of scores of the same chunks, float32 [K, B].
    exact_kl: Callable[[Score, Score], jax.Array]
    # (settings by name, *, exec_horizon) -> the head's `Sampler`, or a ValueError.
    make_sampler: Callable[..., Any]
    # (normalised chunks float32 [N, H, robot_action_dim] of demonstrations, *, config)
    # -> the head's codec, params["action"]["codec"]; None: it has none.
    fit: Callable[..., PyTree] | None = None


def likelihood_mask(
    config: PolicyConfig,
    exec_horizon: int | None,
    *,
    executed_mask: jax.Array | None = None,
) -> jax.Array:
    """True for entries of a chunk that its likelihood counts: [H, D], or [B, H, D].

    They are the actions that are executed, in the dimensions that exist.

    Args:
      config: the chunk's size.
      exec_horizon: E, how many actions are executed; None: all.
      executed_mask: bool [B, E]: False on actions behind the end of an episode.
    """
    horizon = config.horizon
    length = exec_horizon or horizon
    executed = jnp.arange(horizon) < length
    real = jnp.arange(config.action_dim) < config.robot_action_dim
    entries = executed[:, None] & real[None, :]
    if executed_mask is None:
        return entries
    chex.assert_shape(executed_mask, (None, length))
    chex.assert_type(executed_mask, jnp.bool_)
    whole = jnp.pad(executed_mask, ((0, 0), (0, horizon - length)))
    return whole[..., None] & entries[None]
