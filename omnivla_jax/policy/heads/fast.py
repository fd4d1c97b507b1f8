"""The fast head: pi0-FAST's tokens (2501.09747), written as `tokens` writes bins."""

from omnivla_jax.policy.heads.fast_codec import FAST_CODEC
from omnivla_jax.policy.heads.tokens import make_head

FAST = make_head(FAST_CODEC)
