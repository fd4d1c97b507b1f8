"""What training carries from step to step, and the optimizer that changes it."""

import math
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
    """A training run; with the seed in it, all that resuming needs."""

    step: jax.Array  # int32 []: finished optimization or online steps
    seed: jax.Array  # uint32 []
    params: PyTree  # float32, {"reasoning", "spatial", "action"} and "lora", if any
    average: PyTree  # moving average of `params`; None where none is kept
    reference: PyTree  # what online learning may not leave; None: nothing is held
    normalizer: Normalizer
    opt_state: optax.OptState  # of the trained parameters only


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
    config: OptimizerConfig, trained: PyTree
) -> optax.GradientTransformation:
    """AdamW on the parameters where the bool tree `trained` is True.

    The others carry no optimizer state and their updates are 0.
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
    labels = jax.tree.map(lambda on: "trained" if on else "frozen", trained)
    return optax.multi_transform(
        {"trained": adamw, "frozen": optax.set_to_zero()}, labels
    )


def create(
    params: PyTree,
    normalizer: Normalizer,
    optimizer: optax.GradientTransformation,
    *,
    seed: int | jax.Array,
    averaged: bool = False,
    held: bool = False,
) -> TrainState:
    """A run at step 0 that starts from copies: donating it leaves the originals."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.uint32),
        params=jax.tree.map(jnp.copy, params),
        average=jax.tree.map(jnp.copy, params) if averaged else None,
        reference=jax.tree.map(jnp.copy, params) if held else None,
        normalizer=jax.tree.map(jnp.copy, normalizer),
        opt_state=optimizer.init(params),
    )


def apply(params: PyTree, updates: PyTree, trained: PyTree) -> PyTree:
    """Add updates where `trained`; the rest stays bit for bit, which + 0 would not."""
    chex.assert_trees_all_equal_structs(params, updates)
    return jax.tree.map(
        lambda p, u, on: p + u.astype(p.dtype) if on else p, params, updates, trained
    )


def evaluated(state: TrainState) -> PyTree:
    """The parameters to evaluate and hand on: averaged if that is kept, merged.

    The critic stays behind: programs that act are compiled for policies without one.
    """
    return lora.acting_params(state.params if state.average is None else state.average)


def count(params: PyTree) -> int:
    """How many numbers a parameter tree holds."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
