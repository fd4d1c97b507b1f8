"""What a program compiled for a TPU needs, as rows of a benchmark."""

import re
from typing import Any

import jax

from experiments.benchmarks.lib import tpu_topology


def memory(compiled: Any, kind: str) -> dict[str, Any]:
    """Megabytes of a device, and whether they fit.

    Args:
      compiled: the program.
      kind: of the device, as JAX names it.
    """
    sizes = compiled.memory_analysis()
    parts = {
        name: round(getattr(sizes, f"{field}_size_in_bytes") / 1e6, 3)
        for name, field in {
            "argument_megabytes": "argument",
            "output_megabytes": "output",
            "reused_megabytes": "alias",  # of arguments, by outputs
            "temporary_megabytes": "temp",
            "code_megabytes": "generated_code",
        }.items()
    }
    total = sum(parts.values()) - 2 * parts["reused_megabytes"]
    room = tpu_topology.memory_bytes(kind)
    return parts | {
        "device_megabytes": round(total, 3),
        "fits": None if room is None else 1e6 * total <= room,
        "compiler_megabytes_accessed": round(
            compiled.cost_analysis().get("bytes accessed", 0.0) / 1e6, 3
        ),
    }


def without_room(error: jax.errors.JaxRuntimeError) -> dict[str, Any]:
    """What the compiler says of a program that does not fit.

    Raises:
      JaxRuntimeError: it says something else.
    """
    line = re.search(r"Ran out of memory[^\n]*", str(error))
    if line is None:
        raise error
    return {"fits": False, "compiler_says": line[0]}


def shares(
    sizes: dict[str, int], memory: dict[str, Any], costs: dict[str, Any], devices: int
) -> dict[str, float]:
    """The ratios that targets are set for; each device has its share of `sizes`."""
    written = max(costs["written_megabytes"], 1e-9)
    ratios = {"padded_to_written": costs["padded_megabytes"] / written}
    for name, count in sizes.items():
        for measured, source in (("accessed", costs), ("temporary", memory)):
            key = f"{measured}_megabytes"
            ratios[f"{key}_by_{name}"] = source[key] * devices / count
    return {name: round(value, 4) for name, value in ratios.items()}
