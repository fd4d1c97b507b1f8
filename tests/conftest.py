"""What every test runs under: the CPU, and a disk cache of compiled programs."""

import os
from pathlib import Path

# Before JAX is imported: tests are small, and their tolerances are for a CPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# LLVM's later passes are five sixths of a compilation, and pay off after many runs.
os.environ["XLA_FLAGS"] = " ".join(
    ["--xla_backend_optimization_level=1", os.environ.get("XLA_FLAGS", "")]
)

from omnivla_jax.core import compile as compilation  # noqa: E402

compilation.enable_cache(Path(__file__).parents[1] / ".cache" / "jax")
