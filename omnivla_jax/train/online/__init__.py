"""Stage III: online reinforcement learning, from rollout to update in one program."""

from omnivla_jax.train.online.step import create, make_agent, make_step

__all__ = ["create", "make_agent", "make_step"]
