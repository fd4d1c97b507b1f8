"""The main job from one command: demonstrations, flow matching, Flow-GSPO, report.

python -m experiments.quickstart --workdir=runs/quickstart [--resume]
    [--config=experiments/configs/quickstart.py] [--config.rl.group_size=16]
    [--data=4 --fsdp=2]
"""

from pathlib import Path

from absl import flags, logging
from jax.sharding import Mesh

from experiments.configs.schema import from_config
from experiments.pipeline import phases, results
from experiments.pipeline.workdir import open_workdir
from experiments.reporting import errors
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import sharding

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "quickstart.py"))
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for everything the run leaves behind.", required=True
)
_RESUME = flags.DEFINE_boolean("resume", False, "Continue the run in --workdir.")
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    "",
    "Folder of compiled programs, which a second run takes up; empty: .cache/jax of "
    "the checkout, or where there is none, the user's cache folder.",
)
_DATA = flags.DEFINE_integer("data", 1, "Devices that batches are split over.")
_FSDP = flags.DEFINE_integer("fsdp", 1, "Devices that split parameters as well.")
_TENSOR = flags.DEFINE_integer("tensor", 1, "Devices that split heads and MLPs.")


def main(argv: list[str]) -> None:
    """Run every phase that is not finished yet and print one table."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)  # JAX lists the backends it did not find
    config = _CONFIG.value
    settings = from_config(config)
    compilation.enable_cache(Path(_CACHE.value).expanduser() if _CACHE.value else None)
    workdir = open_workdir(Path(_WORKDIR.value), config.to_dict(), resume=_RESUME.value)
    found = phases.run(settings, workdir, _mesh())
    print(f"\n{results.table(found)}")
    print(f"Look at {workdir.path / 'report.html'}")


def _mesh() -> Mesh | None:
    """The devices that the flags ask for; None: one."""
    shape = {"data": _DATA.value, "fsdp": _FSDP.value, "tensor": _TENSOR.value}
    return None if set(shape.values()) == {1} else sharding.make_mesh(**shape)


if __name__ == "__main__":
    errors.run(main)
