"""A policy small enough to convert in milliseconds, shaped as public weights are."""

from omnivla_jax.models.encoders.vit import VitConfig
from omnivla_jax.models.mot import ExpertConfig, MotConfig
from omnivla_jax.policy.config import PolicyConfig

_SHARED = {"depth": 2, "heads": 4, "kv_heads": 1, "head_dim": 8}

# No two sizes are alike where an axis could be mistaken for another.
CONFIG = PolicyConfig(
    vision=VitConfig(
        image_size=12,
        strides=(4,),
        stem_width=0,
        width=18,
        mlp_dim=20,
        depth=3,
        heads=3,
    ),
    spatial_vision=None,
    mot=MotConfig(
        reasoning=ExpertConfig(width=24, mlp_dim=28, **_SHARED),
        spatial=None,
        action=ExpertConfig(width=16, mlp_dim=36, **_SHARED),
        remat=None,
        unroll=1,
    ),
    horizon=5,
    max_tokens=7,
    vocab=50,
)
