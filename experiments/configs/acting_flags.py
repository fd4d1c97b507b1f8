"""Flags of what is done at test time beside sampling: selectors, delay, reuse.

`flags.adopt_module_key_flags(acting_flags)` shows them in a launcher's --help.
"""

from typing import Mapping

from absl import flags

from omnivla_jax.train.acting import CHUNKING, ActingConfig
from omnivla_jax.train.candidates import SCORE_FNS, SelectionConfig

SELECTOR = flags.DEFINE_enum(
    "selector", None, list(SCORE_FNS), "What scores the candidates of --candidates."
)
_CANDIDATES = flags.DEFINE_integer(
    "candidates", 1, "Chunks drawn in a state, of which one is executed.", lower_bound=1
)
_LOOKAHEAD = flags.DEFINE_integer(
    "lookahead", 0, "Chunks played behind each, --selector=clone.", lower_bound=0
)
EXEC_HORIZON = flags.DEFINE_integer(
    "exec_horizon", None, "Actions of a chunk that are executed.", lower_bound=1
)
_DELAY = flags.DEFINE_integer(
    "delay", 0, "Control steps that inference takes.", lower_bound=0
)
_CHUNKING = flags.DEFINE_enum(
    "chunking", "splice", list(CHUNKING), "How a chunk follows the last one."
)
_PREFIX_PERIOD = flags.DEFINE_integer(
    "prefix_period", 1, "Chunks that an encoded picture serves for.", lower_bound=1
)
COMPOSE = flags.DEFINE_string(
    "compose", None, "Checkpoint of a second policy, whose velocity is mixed in."
)
_COMPOSE_WEIGHT = flags.DEFINE_float(
    "compose_weight", 0.5, "Of its velocity.", lower_bound=0.0, upper_bound=1.0
)
SELECTION_EPISODES = flags.DEFINE_integer(
    "selection_episodes", 240, "Played to fit --selector=value.", lower_bound=2
)


def acting(reward_weights: Mapping[str, float]) -> ActingConfig:
    """What the flags ask for.

    Args:
      reward_weights: of the run, by which `clone` scores.

    Raises:
      flags.Error: flags that change nothing, as they are given.
    """
    if (SELECTOR.value is None) != (_CANDIDATES.value == 1):
        raise flags.Error(
            f"--candidates={_CANDIDATES.value} with --selector={SELECTOR.value}: give "
            f"at least 2 and one of {', '.join(SCORE_FNS)}, or neither"
        )
    if _LOOKAHEAD.value and SELECTOR.value != "clone":
        raise flags.Error(
            f"--lookahead={_LOOKAHEAD.value} is of --selector=clone, but the selector "
            f"is {SELECTOR.value}"
        )
    selection = SelectionConfig()
    if SELECTOR.value is not None:
        selection = SelectionConfig(
            _CANDIDATES.value, SELECTOR.value, _LOOKAHEAD.value, dict(reward_weights)
        )
    return ActingConfig(
        selection,
        _DELAY.value,
        _CHUNKING.value,
        _PREFIX_PERIOD.value,
        0.0 if COMPOSE.value is None else _COMPOSE_WEIGHT.value,
    )
