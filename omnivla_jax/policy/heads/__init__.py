"""Action heads by name; a new one is a module here and an entry in `ACTION_HEADS`."""

from typing import Mapping

from omnivla_jax.policy.config import PolicyConfig, choose
from omnivla_jax.policy.heads import insulation
from omnivla_jax.policy.heads.base import ActionHead
from omnivla_jax.policy.heads.discrete_diffusion import DISCRETE_DIFFUSION
from omnivla_jax.policy.heads.dsrl import DSRL
from omnivla_jax.policy.heads.fast import FAST
from omnivla_jax.policy.heads.flow import FLOW
from omnivla_jax.policy.heads.horizons import HORIZONS
from omnivla_jax.policy.heads.l1 import L1
from omnivla_jax.policy.heads.tokens import TOKENS

ACTION_HEADS: Mapping[str, ActionHead] = {
    "flow": FLOW,
    "l1": L1,
    "tokens": TOKENS,
    "horizons": HORIZONS,
    "fast": FAST,
    "discrete_diffusion": DISCRETE_DIFFUSION,
    "dsrl": DSRL,
}


def action_head(config: PolicyConfig) -> ActionHead:
    """The head that `config` names; raises ValueError with the choices."""
    head = choose("policy.head", config.head, ACTION_HEADS)
    if config.insulation == "none":
        return head
    choose("policy.insulation", config.insulation, insulation.CODECS)
    return insulation.insulate(head, config.insulation)
