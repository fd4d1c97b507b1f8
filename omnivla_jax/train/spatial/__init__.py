"""Stage I: spatial pre-training on scenes that the simulator draws."""

from omnivla_jax.train.spatial.config import SpatialConfig
from omnivla_jax.train.spatial.step import (
    DECODER,
    create,
    make_evaluate,
    make_step,
)

__all__ = [
    "DECODER",
    "SpatialConfig",
    "create",
    "make_evaluate",
    "make_step",
]
