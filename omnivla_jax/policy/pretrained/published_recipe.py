"""What a published checkpoint was trained with, where that is not in its arrays."""

import dataclasses
from dataclasses import dataclass

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.formats import get_format


@dataclass(frozen=True)
class PublishedRecipe:
    """How a checkpoint was trained, and how openpi plays it in LIBERO."""

    model: str  # "pi0" or "pi05"
    horizon: int  # actions of a chunk
    max_tokens: int  # of the prompt
    normalization: str  # of `norm_stats.MODES`
    asset_id: str | None  # folder of its statistics in `assets`; None: none of LIBERO
    exec_horizon: int = 5  # actions of a chunk that are executed
    ode_steps: int = 10
    image_convention: str = "openpi"
    state_in_prompt: bool = False
    delta_mask: tuple[bool, ...] = ()

    def update_config(self, config: PolicyConfig) -> PolicyConfig:
        """`config` with what the weights presuppose beside their sizes."""
        config = get_format(self.model).update_config(config)
        return dataclasses.replace(
            config,
            horizon=self.horizon,
            max_tokens=self.max_tokens,
            image_convention=self.image_convention,
            state_in_prompt=self.state_in_prompt,
            delta_mask=self.delta_mask,
        )

    def training_config(self, config: PolicyConfig) -> PolicyConfig:
        """As `update_config`, for training that continues from the weights.

        Its own data give the units of actions, and padding of a prompt its length.
        """
        changed = self.update_config(config)
        return dataclasses.replace(changed, max_tokens=config.max_tokens, delta_mask=())
