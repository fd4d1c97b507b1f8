"""What every test runs under: the CPU, and a disk cache of compiled programs."""

import gc
import os
from importlib.metadata import version
from pathlib import Path

# Before JAX is imported: tests are small, and their tolerances are for a CPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most programs of a test compile in less than the second from which JAX keeps them:
# launchers and workers take them from each other.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Optimising is most of a compilation, and pays off after more runs than a test makes.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Launchers split batches over a CPU's cores, which takes longer to compile.
_FLAGS = ["--xla_force_host_platform_device_count=1"]
# XLA stops the process at flags that it does not have, as this one since jaxlib 0.11.
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([*_FLAGS, os.environ.get("XLA_FLAGS", "")])

import pytest  # noqa: E402

from omnivla_jax.core import compile as compilation  # noqa: E402

compilation.enable_cache(Path(__file__).parents[1] / ".cache" / "jax")

# One process runs these, one after the other: they compile the same programs.
LAUNCHED = {
    f"tests/experiments/{name}_test.py"
    for name in ("ablation", "colab/notebooks", "evaluate", "quickstart", "train")
}

# Tracing makes many objects that live on: looking for garbage took an eighth of it.
gc.set_threshold(100_000)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Schedule file by file as `--dist=loadfile`, but `LAUNCHED` as one file."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "launched" if file in LAUNCHED else file

    return Scheduling(config, log)
