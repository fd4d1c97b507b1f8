"""Trains a policy: any stages, from demonstrations, weights or an earlier run.

    python -m experiments.train --workdir=runs/mine
        [--config=experiments/configs/quickstart.py] [--config.stages=sft,online]
        [--config.data.source=auto --config.data.path=FOLDER]  instead of the expert
        [--config.policy.weights=FOLDER]           of experiments.import_weights
        [--config.init_checkpoint=RUN]             the policy of an earlier run
        [--resume] [--data=4 --fsdp=2]

Stages are those of `pipeline.training.STAGES`. The run's folder gets checkpoints,
metrics as CSV files and for TensorBoard, results.json and, with online training,
report.html. An interrupted run resumes exactly.
"""

from pathlib import Path

from absl import flags, logging

from experiments.configs.schema import from_config
from experiments.pipeline import phases, results, training
from experiments.pipeline.workdir import open_workdir
from experiments.reporting import errors
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import sharding

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "quickstart.py"))
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of everything that the run writes.", required=True
)
_RESUME = flags.DEFINE_boolean("resume", False, "Continue the run in --workdir.")
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    "",
    "Folder of compiled programs, which later runs read; empty: .cache/jax of the "
    "checkout, or the user's cache folder where there is no checkout.",
)
_DATA = flags.DEFINE_integer("data", 1, "Devices that batches are split over.")
_FSDP = flags.DEFINE_integer("fsdp", 1, "Devices that split parameters as well.")
_TENSOR = flags.DEFINE_integer("tensor", 1, "Devices that split heads and MLPs.")


def main(argv: list[str]) -> None:
    """Run every phase that is not finished yet and print one table."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)  # JAX logs the backends that it did not find
    config = from_config(_CONFIG.value)
    training.check_start(config)
    compilation.enable_cache(Path(_CACHE.value).expanduser() if _CACHE.value else None)
    workdir = open_workdir(
        Path(_WORKDIR.value), _CONFIG.value.to_dict(), resume=_RESUME.value
    )
    shape = {"data": _DATA.value, "fsdp": _FSDP.value, "tensor": _TENSOR.value}
    mesh = None if set(shape.values()) == {1} else sharding.make_mesh(**shape)
    written = phases.run(config, workdir, mesh)
    print(f"\n{results.table(written)}")
    name = "report.html" if "online" in config.stages else "results.json"
    print(f"Look at {workdir.path / name}")


if __name__ == "__main__":
    errors.run(main)
