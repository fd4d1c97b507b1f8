"""Policies small enough to convert in milliseconds, shaped as public weights are."""

from omnivla_jax.models.encoders.vit import VitConfig
from omnivla_jax.models.mot import ExpertConfig, MotConfig
from omnivla_jax.policy.config import PolicyConfig
from tests.helpers.pretrained import pi0_case

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

_GEMMA = {
    "depth": pi0_case.GEMMA["depth"],
    "heads": pi0_case.GEMMA["num_heads"],
    "kv_heads": pi0_case.GEMMA["num_kv_heads"],
    "head_dim": pi0_case.GEMMA["head_dim"],
}

# What LeRobot's fixture was made for, before its ends are pi0's.
PI0_CASE = PolicyConfig(
    vision=VitConfig(
        image_size=pi0_case.IMAGE_SIZE,
        strides=(pi0_case.VISION["patch_size"],),
        stem_width=0,
        width=pi0_case.VISION["hidden_size"],
        mlp_dim=pi0_case.VISION["intermediate_size"],
        depth=pi0_case.VISION["num_hidden_layers"],
        heads=pi0_case.VISION["num_attention_heads"],
    ),
    spatial_vision=None,
    mot=MotConfig(
        reasoning=ExpertConfig(**pi0_case.REASONING, **_GEMMA),
        spatial=None,
        action=ExpertConfig(**pi0_case.ACTION, **_GEMMA),
        remat=None,
        unroll=1,
    ),
    horizon=pi0_case.HORIZON,
    max_tokens=pi0_case.MAX_TOKENS,
    vocab=pi0_case.VOCAB,
)
