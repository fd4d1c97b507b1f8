"""The training state, and the optimizer that changes it."""

import functools
from dataclasses import dataclass

import chex
import jax
import jax.numpy as jnp
import optax
from flax import struct

from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import lora
from omnivla_jax.policy.normalize import Normalizer


@struct.dataclass
class TrainState:
    """Everything that resuming a training run needs."""

    step: jax.Array  # int32 []: finished optimization or online steps
    seed: jax.Array  # uint32 []
    params: PyTree  # float32, {"reasoning", "spatial", "action"} and "lora", if any
    ema_params: PyTree  # moving average of `params`; None where none is kept
    reference: PyTree  # parameters of the KL penalty's reference policy; None: none
    normalizer: PyTree  # a `Normalizer`; None: stage I knows none yet
    opt_state: optax.OptState  # of the trained parameters only
    # float32 [M]: remembered success of stage III's tasks; None: not remembered
    task_success: jax.Array | None = None
    # float32 []: limit of stage III's perturbations; None: there are none
    severity: jax.Array | None = None


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW after global-norm clipping.

    The learning rate rises linearly over `warmup_steps`, then falls along a cosine to
    `final_fraction` of itself at `decay_steps`; None keeps it constant.
    """

    learning_rate: float
    warmup_steps: int = 0
    decay_steps: int | None = None
    final_fraction: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if self.decay_steps is not None and self.decay_steps <= self.warmup_steps:
            raise ValueError(
                f"decay_steps={self.decay_steps} must exceed "
                f"warmup_steps={self.warmup_steps}: train longer or warm up less."
            )


def schedule(config: OptimizerConfig) -> optax.Schedule:
    """The learning rate as a function of the optimizer's step."""
    peak = config.learning_rate
    decay = (
        optax.constant_schedule(peak)
        if config.decay_steps is None
        else optax.cosine_decay_schedule(
            peak, config.decay_steps - config.warmup_steps, config.final_fraction
        )
    )
    if not config.warmup_steps:
        return decay
    # The first step has a rate above 0: a step that changes nothing is wasted.
    warmup = optax.linear_schedule(
        peak / config.warmup_steps, peak, config.warmup_steps
    )
    return optax.join_schedules([warmup, decay], [config.warmup_steps])


def make_optimizer(
    config: OptimizerConfig, trainable: PyTree
) -> optax.GradientTransformation:
    """AdamW on the parameters where the tree of bools `trainable` is True.

    The others have no optimizer state and their updates are 0.
    """
    adamw = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            schedule(config),
            b1=config.b1,
            b2=config.b2,
            eps=config.eps,
            weight_decay=config.weight_decay,
        ),
    )
    labels = jax.tree.map(lambda on: "trained" if on else "frozen", trainable)
    return optax.multi_transform(
        {"trained": adamw, "frozen": optax.set_to_zero()}, labels
    )


def create(
    params: PyTree,
    normalizer: Normalizer | None,
    optimizer: optax.GradientTransformation,
    *,
    seed: int | jax.Array,
    keep_ema: bool = False,
    keep_reference: bool = False,
) -> TrainState:
    """A training state at step 0.

    Args:
      params: of the policy, copied, so that donating the state leaves the originals.
      normalizer: of states and actions, copied; None: stage I knows none yet.
      optimizer: its state is initialised here.
      seed: of all randomness in training.
      keep_ema: keep a moving average of the parameters.
      keep_reference: keep the initial parameters as the reference policy.

    Returns:
      The state, all of whose arrays are its own.
    """
    copy = functools.partial(jax.tree.map, jnp.copy)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.array(seed, jnp.uint32),  # a copy, too
        params=copy(params),
        ema_params=copy(params) if keep_ema else None,
        reference=copy(params) if keep_reference else None,
        normalizer=copy(normalizer),
        opt_state=optimizer.init(params),
    )


def apply(params: PyTree, updates: PyTree, trainable: PyTree) -> PyTree:
    """Add updates where parameters are trained: -0.0 + 0 would be 0.0 elsewhere.

    Args:
      params: of the policy.
      updates: of an optimizer, the same tree.
      trainable: the same tree of bools.

    Returns:
      The new parameters, of the same dtypes.
    """
    chex.assert_trees_all_equal_structs(params, updates)
    return jax.tree.map(
        lambda p, u, on: p + u.astype(p.dtype) if on else p, params, updates, trainable
    )


def eval_params(state: TrainState) -> PyTree:
    """The parameters to evaluate: the moving average if it is kept, adapters merged.

    Without the critic: programs that act are compiled for policies without one.
    """
    params = state.params if state.ema_params is None else state.ema_params
    return lora.acting_params(params)
