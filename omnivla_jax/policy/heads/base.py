"""The seam of action heads: what a policy needs of its way to produce action chunks.

A head owns the ends of the action expert: its inputs, its outputs and the loss that
trains them. Between them runs the transformer over the prefix (`suffix.py`).

Axes: B batch, K scored steps (denoising steps; 1 where there are none), H chunk length,
D action dimensions.
"""

from typing import Any, Mapping, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Score
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.prefix import PrefixCache

# What `explore` records for `score`, batch first: leaves [B, ...].
Trace = PyTree


class Sampler(Protocol):
    """How a head explores: a frozen dataclass with the settings of that head."""

    @property
    def exec_horizon(self) -> int | None:
        """The actions of a chunk that are executed and count; None: all H."""

    @property
    def num_scored_steps(self) -> int:
        """K, the steps of a chunk that have a density."""


class Init(Protocol):
    """Fresh parameters of the expert's ends, boxed with their logical axes.

    Returns {"input": ..., "output": ..., ...}; `keys` are 3, and consumed.
    """

    def __call__(self, keys: jax.Array, config: PolicyConfig) -> dict[str, PyTree]: ...


class SftLoss(Protocol):
    """The supervised loss of a batch, float32 []; consumes `key`.

    `chunk` float32 [B, H, D] normalised and padded, `draws` how many noise samples an
    observation gets (a head without noise ignores it), `loss_mask` bool [B, H] the
    actions that the mean is over (None: all).
    """

    def __call__(
        self,
        params: PyTree,
        cache: PrefixCache,
        proprio: jax.Array,
        chunk: ActionChunk,
        key: jax.Array,
        *,
        config: PolicyConfig,
        draws: int,
        loss_mask: jax.Array | None = None,
    ) -> jax.Array: ...


class Act(Protocol):
    """A chunk float32 [B, H, D] as the policy is evaluated; consumes `key`.

    `key`: one for the batch, or one for every row, [B]: a row's noise is then the same
    in every batch. `steps`: of an ODE solver, where the head has one.
    """

    def __call__(
        self,
        params: PyTree,
        cache: PrefixCache,
        proprio: jax.Array,
        key: jax.Array,
        *,
        config: PolicyConfig,
        steps: int,
    ) -> ActionChunk: ...


class Explore(Protocol):
    """A random chunk float32 [B, H, D] and its trace; consumes `key`."""

    def __call__(
        self,
        params: PyTree,
        cache: PrefixCache,
        proprio: jax.Array,
        key: jax.Array,
        *,
        config: PolicyConfig,
        sampler: Any,
    ) -> tuple[ActionChunk, Trace]: ...


class ScoreTrace(Protocol):
    """The likelihood of recorded chunks under `params`.

    `executed_mask` bool [B, exec_horizon]: False behind an episode's end; None: all.
    """

    def __call__(
        self,
        params: PyTree,
        cache: PrefixCache,
        proprio: jax.Array,
        trace: Trace,
        *,
        config: PolicyConfig,
        sampler: Any,
        executed_mask: jax.Array | None,
    ) -> Score: ...


class ScoreRecorded(Protocol):
    """The likelihood of recorded chunks under the parameters that sampled them."""

    def __call__(
        self,
        trace: Trace,
        *,
        config: PolicyConfig,
        sampler: Any,
        executed_mask: jax.Array | None,
    ) -> Score: ...


class ExactKl(Protocol):
    """KL(new ‖ other) of two scores of the same chunks, float32 [K, B]."""

    def __call__(self, new: Score, other: Score) -> jax.Array: ...


class MakeSampler(Protocol):
    """The head's `Sampler` from settings by name; raises ValueError on bad ones."""

    def __call__(
        self, settings: Mapping[str, Any], *, exec_horizon: int | None
    ) -> Sampler: ...


class ActionHead(NamedTuple):
    """One way to produce chunks of actions, as pure functions."""

    init: Init
    sft_loss: SftLoss
    act: Act
    explore: Explore
    score: ScoreTrace
    score_recorded: ScoreRecorded
    exact_kl: ExactKl
    make_sampler: MakeSampler


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
