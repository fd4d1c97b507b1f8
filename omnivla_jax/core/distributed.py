"""Several processes of one run: how they find each other, agree, and fail together.

Every host of a pod runs the same command. Whatever is called a collective here has to
be called by all processes, in the same order.
"""

import contextlib
import os
from typing import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from omnivla_jax.core import exits

# Variables that count the processes of a job: of Slurm, Open MPI.
COUNTS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
# Slurm's count is also set in a job's shell, which is none of its processes.
SLURM_RANK = "SLURM_PROCID"
HOSTS = "TPU_WORKER_HOSTNAMES"  # of GKE, with commas


def initialize(
    *,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    detect: bool | None = None,
) -> None:
    """Join the other processes of the run; to be called before JAX computes anything.

    Args:
      coordinator: address and port of process 0, such as "10.0.0.2:8476".
      num_processes: how many there are.
      process_id: the number of this one, from 0. These three go together.
      detect: without them, ask the cluster as JAX does: TPU VMs, GKE, Slurm, Open MPI.
        None: where the environment names several processes; a TPU VM's does not.

    Raises:
      ValueError: one or two of the three, or what they say is not possible.
    """
    given = (coordinator, num_processes, process_id)
    if None not in given:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    elif given != (None, None, None):
        raise ValueError(
            f"--coordinator={coordinator} --processes={num_processes} "
            f"--process={process_id} go together: give all three, or none."
        )
    elif named_by_environment() if detect is None else detect:
        jax.distributed.initialize()
    if jax.distributed.is_initialized():
        exits.HAS_PEERS.set()


def named_by_environment() -> bool:
    """Whether the environment says that this is one of several processes."""
    counts = [int(os.environ.get(name, 1)) for name in COUNTS]
    if SLURM_RANK not in os.environ or "SLURM_STEP_NODELIST" not in os.environ:
        counts[0] = 1
    return max(counts) > 1 or "," in os.environ.get(HOSTS, "")


@contextlib.contextmanager
def all_or_none() -> Iterator[None]:
    """Go on after the block only if no process raised in it; a collective.

    Raises:
      The error of this process; a ValueError where another process had one.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    if jax.process_count() > 1:
        failed = multihost_utils.process_allgather(np.asarray(error is not None))
        if error is None and failed.any():
            number = int(np.flatnonzero(failed)[0])
            raise ValueError(f"Process {number} has stopped: its own line says why.")
    if error is not None:
        raise error


def require_same(checksum: int, message: str) -> None:
    """Raise a ValueError unless all processes hand in the same uint32; a collective.

    Args:
      checksum: of what has to be the same everywhere.
      message: of the error, without the full stop.
    """
    if jax.process_count() == 1:
        return
    checksums = multihost_utils.process_allgather(
        np.asarray(checksum, np.uint32)
    ).ravel()
    if (checksums != checksums[0]).any():
        raise ValueError(f"{message} (checksums {checksums.tolist()} by process).")
