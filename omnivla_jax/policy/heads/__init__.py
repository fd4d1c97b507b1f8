"""Action heads by name; a new one is a module here and an entry in `ACTION_HEADS`."""

from typing import Mapping

from omnivla_jax.policy.config import PolicyConfig, choose
from omnivla_jax.policy.heads.base import ActionHead
from omnivla_jax.policy.heads.dsrl import DSRL
from omnivla_jax.policy.heads.flow import FLOW
from omnivla_jax.policy.heads.l1 import L1

ACTION_HEADS: Mapping[str, ActionHead] = {
    "flow": FLOW,
    "l1": L1,
    "dsrl": DSRL,
}


def action_head(config: PolicyConfig) -> ActionHead:
    """The head that `config` names; raises ValueError with the choices."""
    return choose("policy.head", config.head, ACTION_HEADS)
