"""The one wrapper of `jax.jit`: CPU compiler options, donation and the disk cache."""

import functools
import os
import warnings
from pathlib import Path
from typing import Any, Callable, Sequence

import jax

# XLA's concurrency-optimised scheduler can deadlock two batched LAPACK calls on a
# two-thread pool.
CPU_OPTIONS: dict[str, bool] = {"xla_cpu_enable_concurrency_optimized_scheduler": False}

# Its fusion emitters draw pictures 2.6 times as fast and learn 1.2 times as fast, but
# recompute MJX's chained body transforms inside every fusion (measured: 1,900 ms
# instead of 3 ms a step): only for programs without MJX. They compile for longer, so
# JAX_DISABLE_MOST_OPTIMIZATIONS leaves them out as well.
FUSION_EMITTERS = "xla_cpu_use_fusion_emitters"

# From jax 0.11 on the emitters are always used. Without XLA's fusion they recompute
# nothing: under jax 0.12 MJX's control step of 16 environments, which did not compile
# in 400 s, compiles in 83 s and takes 92 ms, both of one core.
NO_FUSION = {"xla_disable_hlo_passes": "fusion"}

# Initialisers are many small random kernels: optimising them takes 20 s, running them
# unoptimised 0.3 s. For `jax.jit(..., compiler_options=NO_OPTIMIZATION)`.
NO_OPTIMIZATION = {"xla_backend_optimization_level": 0}


def compiler_options(*, fused: bool = False) -> dict[str, bool | str]:
    """The compiler options for the default backend; other backends take none.

    XLA drops options from one release to the next: those that it does not know are left
    out, and said once where a program would suffer.
    """
    if jax.default_backend() != "cpu":
        return {}
    quickly = jax.config.read("jax_disable_most_optimizations")
    wanted = CPU_OPTIONS | {FUSION_EMITTERS: fused and not quickly}
    known: dict[str, bool | str]
    known = {name: value for name, value in wanted.items() if is_known(name)}
    if fused or FUSION_EMITTERS in known:
        return known
    if all(is_known(*option) for option in NO_FUSION.items()):
        known |= NO_FUSION
    else:  # Python warns once of one place
        warnings.warn(
            f"jax {jax.__version__} cannot turn off XLA's fusion emitters on a CPU, "
            'under which MJX steps up to 600 times slower: choose engine="mujoco" '
            "there, or jax 0.10."
        )
    return known


@functools.cache
def is_known(option: str, value: bool | str = False) -> bool:
    """Whether the default backend's compiler has `option` and takes `value` for it."""
    try:
        jax.jit(lambda: 0, compiler_options={option: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def jit(
    function: Callable[..., Any],
    *,
    fused: bool = False,
    static_argnames: Sequence[str] = (),
    donate_argnames: Sequence[str] = (),
    in_shardings: Any = None,
    out_shardings: Any = None,
) -> Any:
    """Compile a top-level function. XLA rejects compiler options on nested calls.

    `fused`: use the CPU's fusion emitters; for functions that hold no MJX physics.
    """
    shardings = {"in_shardings": in_shardings, "out_shardings": out_shardings}
    return jax.jit(
        function,
        static_argnames=tuple(static_argnames),
        donate_argnames=tuple(donate_argnames),
        compiler_options=compiler_options(fused=fused),
        **{name: value for name, value in shardings.items() if value is not None},
    )


def cpu_cores() -> int:
    """How many cores this process may use, as XLA counts them for its threads."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_folder(package: Path = Path(__file__).parents[1]) -> Path:
    """Where compiled programs are kept by default.

    `.cache/jax` of the checkout that the package runs from, if that can be written;
    else `omnivla_jax/jax` in the user's cache folder, $XDG_CACHE_HOME or ~/.cache.

    Args:
      package: the folder of the package.
    """
    checkout = package.parent
    if (checkout / "setup.cfg").is_file() and os.access(checkout, os.W_OK):
        return checkout / ".cache" / "jax"
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: what is no absolute path is to be ignored.
    folder = Path(chosen) if os.path.isabs(chosen) else Path.home() / ".cache"
    return folder / "omnivla_jax" / "jax"


def enable_cache(directory: Path | None = None) -> None:
    """Keep compiled programs in `directory`, so that a second run skips XLA.

    None is `cache_folder()`; where that cannot be made, nothing is kept.
    """
    if directory is not None:
        return _enable_cache(directory)
    try:
        _enable_cache(cache_folder())
    except (OSError, RuntimeError) as error:  # Path.home() may find no home
        warnings.warn(f"Compiled programs will not be kept on disk: {error}")
    return None


@functools.cache
def _enable_cache(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    jax.config.update(
        "jax_compilation_cache_dir", str(directory)
    )
