"""Peak memory of the device or of this process."""

import resource

import jax

MIB = 2**20


def peak() -> tuple[int, str]:
    """Peak bytes and their source: "device" where it keeps a count, else "process"."""
    stats = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"], "device"
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "process"
