"""LIBERO's tasks by gymnasium's API: a batch (`LiberoVectorEnv`) or one (`LiberoEnv`).

Importing this module registers `OmniVLA/libero_spatial-v0` and its like for the other
suites with `gymnasium.make_vec` and `gymnasium.make`.
"""

try:
    import gymnasium
except ImportError as error:
    raise ImportError(
        "omnivla_jax.interop.gymnasium needs gymnasium: pip install "
        "'omnivla-rl[gymnasium]'."
    ) from error

from omnivla_jax.interop.gymnasium.single_env import LiberoEnv
from omnivla_jax.interop.gymnasium.vector_env import LiberoVectorEnv

__all__ = ["LiberoEnv", "LiberoVectorEnv", "SUITES"]

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")

for _suite in SUITES:
    gymnasium.register(
        id=f"OmniVLA/{_suite}-v0",
        entry_point="omnivla_jax.interop.gymnasium:LiberoEnv",
        vector_entry_point="omnivla_jax.interop.gymnasium:LiberoVectorEnv",
        kwargs={"suite": _suite},
    )
