"""Flags that name published weights, of the launchers that act by them.

`flags.adopt_module_key_flags(published_flags)` shows them in a launcher's --help.
"""

from pathlib import Path

from absl import flags

from omnivla_jax.core import sharding
from omnivla_jax.policy import config as configs
from omnivla_jax.policy.config import PRESETS
from omnivla_jax.policy.pretrained import published
from omnivla_jax.policy.pretrained.published import NAMES, Published

POLICY = flags.DEFINE_enum("policy", None, list(NAMES), "Published weights.")
WEIGHTS = flags.DEFINE_string("weights", None, "Folder of those.")
TOKENIZER = flags.DEFINE_string(
    "tokenizer", None, "SentencePiece model; else the one of the checkpoint or weights."
)
_NORM_STATS = flags.DEFINE_string(
    "norm_stats", None, "Norm_stats.json of the weights; else the one in their folder."
)
_PRESET = flags.DEFINE_enum("preset", "full", list(PRESETS), "Sizes of the weights.")


def check(checkpoint: str | None) -> None:
    """Refuse a command line that names no policy, or two.

    Args:
      checkpoint: value of the launcher's --checkpoint.

    Raises:
      flags.Error: with what to give.
    """
    if (checkpoint is None) == (POLICY.value is None):
        raise flags.Error(
            "give --checkpoint=FOLDER, or --policy=NAME of published weights"
        )
    if POLICY.value is not None and WEIGHTS.value is None:
        raise flags.Error("--policy needs --weights=FOLDER")


def load() -> Published:
    """Load the weights that the flags name onto one device.

    Raises:
      ValueError: what `published.load_policy` raises.
    """
    assert POLICY.value is not None and WEIGHTS.value is not None  # see `check`
    return published.load_policy(
        POLICY.value,
        Path(WEIGHTS.value).expanduser(),
        base=configs.preset(_PRESET.value).without_spatial(),
        mesh=sharding.make_mesh(),
        tokenizer=TOKENIZER.value,
        stats=Path(_NORM_STATS.value).expanduser() if _NORM_STATS.value else None,
    )
