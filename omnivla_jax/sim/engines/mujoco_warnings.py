"""MuJoCo's warnings: counted per simulation, and each kind passed to Python once.

Without a handler MuJoCo appends each warning to MUJOCO_LOG.TXT in the working
directory.
"""

import re
import threading
import warnings

import mujoco

_KINDS = mujoco.mjtWarning
# The memory for contacts or for their constraints was full: some were left out.
FULL = [int(_KINDS.mjWARN_CONTACTFULL), int(_KINDS.mjWARN_CNSTRFULL)]
# A number is not finite or huge, or the inertia matrix singular.
UNSTABLE = [kind for kind in range(int(_KINDS.mjNWARNING)) if kind not in FULL]
_TIME = re.compile(r"\s*Time = [\d.eE+-]+\.?\s*$")
_warned: set[str] = set()
_lock = threading.Lock()


def install() -> None:
    """Pass MuJoCo's warnings to Python's, unless another handler is installed."""
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(warn_once)


def warn_once(text: str) -> None:
    """Warn of each kind of `text` once, whatever numbers it holds; never raises."""
    kind = re.sub(r"\d+", "#", _TIME.sub("", text))
    with _lock:
        if kind in _warned:
            return
        _warned.add(kind)
    try:
        warnings.warn(
            f"MuJoCo: {_TIME.sub('', text)} (Said once. Episodes of unusable numbers "
            "count as diverged, contacts without memory as contact_overflow.)",
            RuntimeWarning,
            stacklevel=2,
        )
    except RuntimeWarning:  # warnings are errors, which MuJoCo's threads cannot raise
        pass
