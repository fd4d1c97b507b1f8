"""Trains a policy: any stages, from demonstrations, weights or an earlier run.

    python -m experiments.train --workdir=runs/mine
        [--config=experiments/configs/quickstart.py] [--config.stages=sft,online]
        [--config.data.source=auto --config.data.path=FOLDER]  instead of the expert
        [--config.policy.weights=FOLDER]           of experiments.import_weights
        [--config.init_checkpoint=RUN]             the policy of an earlier run
        [--resume] [--data=4 --fsdp=2]
        [--coordinator=HOST:PORT --processes=4 --process=0 | --distributed]

Stages are those of `pipeline.training.STAGES`. The run's folder gets checkpoints,
metrics as CSV files and for TensorBoard, results.json and, with online training,
report.html. An interrupted run resumes exactly. Over several processes all of them run
this command (docs/pods.md); the folder may lie in a bucket, --workdir=gs://bucket/run.
"""

import contextlib
import os
from pathlib import Path
from typing import Iterator

import jax
from absl import flags, logging

from experiments.configs.schema import from_config
from experiments.pipeline import device_mesh, phases, results, shared_workdir, training
from experiments.reporting import errors
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import distributed, paths

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "quickstart.py"))
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of everything that the run writes, or its address in a bucket.",
    required=True,
)
_RESUME = flags.DEFINE_boolean(
    "resume", False, "Continue the run in --workdir, if there is one."
)
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    "",
    "Folder of compiled programs, which later runs read; empty: .cache/jax of the "
    "checkout, or the user's cache folder where there is no checkout.",
)
_DATA = flags.DEFINE_integer(
    "data",
    None,
    "Devices that batches are split over, on a CPU its cores; by default as many as "
    "divide the config's batches, with several processes all that --fsdp and --tensor "
    "leave. 1: one device.",
)
_FSDP = flags.DEFINE_integer("fsdp", 1, "Devices that split parameters as well.")
_TENSOR = flags.DEFINE_integer("tensor", 1, "Devices that split heads and MLPs.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "Address of process 0, HOST:PORT; with the next two flags."
)
_PROCESSES = flags.DEFINE_integer("processes", None, "How many processes there are.")
_PROCESS = flags.DEFINE_integer("process", None, "The number of this one, from 0.")
_DISTRIBUTED = flags.DEFINE_boolean(
    "distributed",
    None,
    "Ask the cluster for the other processes; by default where Slurm, Open MPI or GKE "
    "say that there are several. TPU VMs need the flag.",
)


def main(argv: list[str]) -> None:
    """Run every phase that is not finished yet and print one table."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)  # JAX logs the backends that it did not find
    distributed.initialize(
        coordinator=_COORDINATOR.value,
        num_processes=_PROCESSES.value,
        process_id=_PROCESS.value,
        detect=_DISTRIBUTED.value,
    )
    config = from_config(_CONFIG.value)
    training.check_start(config)
    compilation.enable_cache(paths.parse(_CACHE.value) if _CACHE.value else None)
    path, settings = paths.parse(_WORKDIR.value), _CONFIG.value.to_dict()
    mesh = device_mesh.make_mesh(
        config, data=_DATA.value, fsdp=_FSDP.value, tensor=_TENSOR.value
    )
    with (
        first_process_prints(),
        shared_workdir.opened(path, settings, resume=_RESUME.value) as workdir,
    ):
        written = phases.run(config, workdir, mesh)
        print(f"\n{results.table(written)}")
        name = "report.html" if "online" in config.stages else "results.json"
        print(f"Look at {path / name}")


@contextlib.contextmanager
def first_process_prints() -> Iterator[None]:
    """Keep the progress of all processes but the first off their terminals."""
    if jax.process_index() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


if __name__ == "__main__":
    errors.run(main)
