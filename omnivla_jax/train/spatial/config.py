"""The settings of stage I."""

import dataclasses
from dataclasses import dataclass

from omnivla_jax.models.encoders.spatial_decoder import DecoderConfig
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.train.spatial.losses import LossWeights
from omnivla_jax.train.state import OptimizerConfig


@dataclass(frozen=True)
class SpatialConfig:
    """The settings of stage I.

    `frozen_encoder` keeps the spatial encoder's aggregator as it is, VGGT's where it
    was loaded, and trains its projection.
    """

    optimizer: OptimizerConfig
    steps: int  # optimizer steps, a multiple of steps_per_call
    weights: LossWeights = LossWeights()
    batch_size: int = 64  # scenes
    steps_per_call: int = 10  # optimizer steps in one compiled call
    decoder_depth: int = 2
    frozen_encoder: bool = False

    def __post_init__(self) -> None:
        if self.steps % self.steps_per_call:
            raise ValueError(
                f"steps={self.steps} must be a multiple of "
                f"steps_per_call={self.steps_per_call}."
            )


def decoder_config(config: SpatialConfig, policy: PolicyConfig) -> DecoderConfig:
    """The decoder of a policy's spatial expert: of its encoder's width and patches.

    Raises:
      ValueError: the policy has no spatial expert.
    """
    vision = policy.spatial_vision
    if vision is None:
        raise ValueError(
            "Stage I trains the spatial expert, which this policy lacks: set "
            "policy.spatial=True, or leave spatial out of stages."
        )
    sized = dataclasses.replace(vision, depth=config.decoder_depth)
    return DecoderConfig(sized, leading=1 + policy.registers)
