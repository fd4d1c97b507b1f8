"""Stage III: online reinforcement learning, from rollout to update in one program."""

from omnivla_jax.train.online.step import (
    create,
    explorer,
    judge,
    make_step,
    models,
    storage,
)

__all__ = ["create", "explorer", "judge", "make_step", "models", "storage"]
