"""MuJoCo's warnings: counted for each simulation, told once, in no file.

Without a handler MuJoCo appends each warning to MUJOCO_LOG.TXT in the working
directory.
"""

import re
import threading
import warnings

import mujoco
import numpy as np

_KINDS = mujoco.mjtWarning
# The memory for contacts or for their constraints was full: some were left out.
_FULL = [int(_KINDS.mjWARN_CONTACTFULL), int(_KINDS.mjWARN_CNSTRFULL)]
# A number is not finite or huge, or the inertia matrix singular.
_UNSTABLE = [kind for kind in range(int(_KINDS.mjNWARNING)) if kind not in _FULL]
_TIME = re.compile(r"\s*Time = [\d.eE+-]+\.?\s*$")
_told: set[str] = set()
_lock = threading.Lock()


def install() -> None:
    """Hand MuJoCo's warnings to Python's, unless a handler of another is installed."""
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(tell)


def tell(text: str) -> None:
    """Warn of each kind of `text` once, whatever its numbers are; never raises."""
    kind = re.sub(r"\d+", "#", _TIME.sub("", text))
    with _lock:
        if kind in _told:
            return
        _told.add(kind)
    try:
        warnings.warn(
            f"MuJoCo: {_TIME.sub('', text)} (Said once. Episodes of unusable numbers "
            "count as diverged, contacts without memory as contact_overflow.)",
            RuntimeWarning,
            stacklevel=2,
        )
    except RuntimeWarning:  # warnings are errors, which MuJoCo's threads cannot raise
        pass


def unstable(counts: np.ndarray) -> np.ndarray:
    """bool [B]: simulations whose numbers cannot be trusted.

    Args:
      counts: int [B, kinds, 2]: `mujoco.batch.Batch.warning`, last info and number.
    """
    return np.any(counts[:, _UNSTABLE, 1] > 0, axis=1)


def overflow(counts: np.ndarray) -> np.ndarray:
    """int [B]: how often a simulation left out contacts or constraints."""
    return np.sum(counts[:, _FULL, 1], axis=1)
