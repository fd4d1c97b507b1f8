"""TPU slices that are not there: their devices, to compile for with libtpu alone."""

import importlib.util
import math
import os

import jax
from absl import app
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

from omnivla_jax.core.sharding import MESH_AXES

# What clouds call a slice -> libtpu's name for it. Suffixes of v5p count cores.
SLICES = {
    "v5e-1": "v5e:1x1",
    "v5e-4": "v5e:2x2",
    "v5e-8": "v5e:2x4",
    "v5e-16": "v5e:4x4",
    "v5p-8": "v5:2x2x1",
    "v6e-8": "v6e:2x4",
}
# Main memory of a device that programs may use, GiB, as the compiler states it.
MEMORY_GIB = {"TPU v5 lite": 15.75, "TPU v5": 95.74, "TPU v6 lite": 31.25}
# Whether libtpu is installed: the extra `tpu`.
IS_AVAILABLE = importlib.util.find_spec("libtpu") is not None


def make_mesh(name: str, *, fsdp: int = 1, tensor: int = 1) -> Mesh:
    """The mesh of a whole slice, `data` taking the devices that the others leave.

    Call it before anything asks jax for its devices: computations run on the CPU.

    Args:
      name: a key of SLICES or libtpu's own name, such as "v5e:2x4".
      fsdp, tensor: sizes of these axes.

    Raises:
      UsageError: an unknown slice, or axes that do not divide its devices.
    """
    import libtpu

    os.environ |= {
        "TPU_SKIP_MDS_QUERY": "1",  # no look-ups of a cloud machine's metadata
        "TPU_LIBRARY_PATH": libtpu.get_library_path(),
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
    jax.config.update("jax_platforms", "cpu")
    topology = SLICES.get(name, name)
    # A host of most slices has four chips or more; a slice of one needs the bounds.
    sizes = [int(word) for word in topology.partition(":")[2].split("x") if word]
    single = {"chips_per_host_bounds": (1, 1, 1)} if math.prod(sizes) == 1 else {}
    try:
        devices = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, **single
        ).devices
    except (ValueError, RuntimeError) as error:
        raise app.UsageError(
            f"--topology={name} is not known to libtpu ({error}): choose one of "
            f"{list(SLICES)}, or a name such as v5e:2x4."
        ) from error
    if len(devices) % (fsdp * tensor):
        raise app.UsageError(
            f"--fsdp={fsdp} x --tensor={tensor} do not divide the {len(devices)} "
            f"devices of {name}."
        )
    shape = (len(devices) // (fsdp * tensor), fsdp, tensor)
    return jax.make_mesh(
        shape, MESH_AXES, axis_types=(AxisType.Auto,) * 3, devices=devices
    )


def memory_bytes(device_kind: str) -> float | None:
    """Main memory of one device; None where it is not known."""
    gib = MEMORY_GIB.get(device_kind)
    return None if gib is None else gib * 2**30
