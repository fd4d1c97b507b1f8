"""Names of pi0 and pi0.5 in PyTorch: LeRobot's files and those of openpi's converter.

Both hold Hugging Face's PaliGemma, a Gemma of the action expert's width without a word
table, and openpi's dense layers. The action expert's output layer is of no use.
"""

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained import hugging_face
from omnivla_jax.policy.pretrained.openpi import PI0_ENDS, PI05_ENDS, ends
from omnivla_jax.policy.pretrained.param_mapping import ParamMappings

EXPERT = "gemma_expert"
# LeRobot's files have one level more, and releases of transformers move others.
RENAMING = (
    (r"^model\.", ""),
    (r"^paligemma_with_expert\.gemma_expert\.model\.", f"{EXPERT}."),
    (r"^paligemma_with_expert\.gemma_expert\.", f"{EXPERT}."),
    (r"^paligemma_with_expert\.paligemma\.", ""),
    *hugging_face.PALIGEMMA_RENAMING,
)
# LeRobot 0.1 to 0.3 kept statistics of a data set beside the weights.
IGNORED = (
    *hugging_face.PALIGEMMA_IGNORED,
    rf"{EXPERT}\.lm_head\.weight",
    r"(un)?normalize_(inputs|targets|outputs)\..*",
)


def pi0(config: PolicyConfig) -> ParamMappings:
    """Reasoning and action experts of pi0."""
    expert = hugging_face.decoder("action", config, EXPERT)
    both = hugging_face.paligemma(config) | expert
    return both | ends(config, hugging_face.linear, PI0_ENDS)


def pi05(config: PolicyConfig) -> ParamMappings:
    """Reasoning and action experts of pi0.5."""
    expert = hugging_face.decoder("action", config, EXPERT, adaptive=True)
    both = hugging_face.paligemma(config) | expert
    return both | ends(config, hugging_face.linear, PI05_ENDS)
