"""Stage III: online reinforcement learning, from rollout to update in one program."""

from omnivla_jax.train.online.step import (
    create,
    make_step,
    make_stochastic_actor,
    make_value_fn,
    models,
    storage,
)

__all__ = [
    "create",
    "make_stochastic_actor",
    "make_value_fn",
    "make_step",
    "models",
    "storage",
]
