"""Stage I: spatial pre-training on scenes that the simulator draws."""

from omnivla_jax.train.spatial.config import SpatialConfig, decoder_config
from omnivla_jax.train.spatial.step import (
    DECODER,
    create,
    make_evaluate,
    make_loss,
    make_step,
    with_decoder,
)

__all__ = [
    "DECODER",
    "SpatialConfig",
    "create",
    "decoder_config",
    "make_evaluate",
    "make_loss",
    "make_step",
    "with_decoder",
]
