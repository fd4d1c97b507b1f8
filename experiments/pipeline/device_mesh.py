"""The mesh of devices that a run is trained on, by default as many as its batches take.

A CPU counts as a device for each core: XLA runs the loops of one device one after the
other, so that drawing, for example, gains nothing from a second core otherwise.
"""

import math
import os

import jax
from jax.sharding import Mesh

from experiments.configs.schema import ExperimentConfig
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import sharding

COUNT_FLAG = "xla_force_host_platform_device_count"


def make_mesh(
    config: ExperimentConfig, *, data: int | None, fsdp: int = 1, tensor: int = 1
) -> Mesh | None:
    """The mesh of a run; to be called before JAX computes anything.

    Args:
      config: of the run.
      data: devices that batches are split over; None: all that `fsdp` and `tensor`
        leave, but in one process no more than divide the run's batches.
      fsdp: devices that split parameters as well.
      tensor: devices that split heads and MLPs.

    Returns:
      The mesh; None: one device of one process.

    Raises:
      ValueError: more devices than there are, or a process without one.
    """
    split, is_alone = fsdp * tensor, not jax.distributed.is_initialized()
    if is_alone:
        # MJX on several devices of one CPU can deadlock in batched LAPACK calls.
        cores = 1 if config.engine == "mjx" else compilation.cpu_cores() // split
        _count_cores_as_devices(split * (data or largest_divisor(config, limit=cores)))
        data = data or largest_divisor(config, limit=jax.device_count() // split)
    elif data is None:
        data = max(1, jax.device_count() // split)
    if is_alone and data == split == 1:
        return None
    mesh = sharding.make_mesh(data=data, fsdp=fsdp, tensor=tensor)
    busy = {device.process_index for device in mesh.devices.flat}
    if without := jax.process_count() - len(busy):
        raise ValueError(
            f"A mesh of {data=} x {fsdp=} x {tensor=} leaves {without} of "
            f"{jax.process_count()} processes without a device: leave out --data."
        )
    return mesh


def largest_divisor(config: ExperimentConfig, *, limit: int) -> int:
    """The most devices, at most `limit`, that divide the batches of all stages."""
    rl, sizes = config.rl, []
    if "spatial" in config.stages:
        sizes.append(config.spatial.training.batch_size)
    if "sft" in config.stages:
        sizes.append(config.sft.batch_size)
    if "online" in config.stages:
        minibatch = rl.total // (rl.minibatches * rl.grad_accum_steps)
        sizes += [rl.groups * rl.group_size, minibatch]
    common = math.gcd(*sizes)
    return max(count for count in range(1, max(limit, 1) + 1) if common % count == 0)


def _count_cores_as_devices(cores: int) -> None:
    """Let JAX see `cores` devices in the CPU, unless its settings say how many."""
    is_set = jax.config.values["jax_num_cpu_devices"] != -1
    if not is_set and COUNT_FLAG not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", cores)
