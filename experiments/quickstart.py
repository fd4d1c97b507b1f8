"""The main job from one command: demonstrations, flow matching, Flow-GSPO, report.

python -m experiments.quickstart --workdir=runs/quickstart [--resume]
    [--config=experiments/configs/quickstart.py] [--config.rl.group_size=16]
"""

from pathlib import Path

from absl import flags, logging

from experiments import phases, summary
from experiments.reporting import errors
from experiments.settings import from_config
from experiments.workdir import open_workdir
from omnivla_jax.core import compile as compilation

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "quickstart.py"))
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for everything the run leaves behind.", required=True
)
_RESUME = flags.DEFINE_boolean("resume", False, "Continue the run in --workdir.")
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    str(ROOT / ".cache" / "jax"),
    "Folder of compiled programs, which a second run takes up.",
)


def main(argv: list[str]) -> None:
    """Run every phase that is not finished yet and print one table."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)  # JAX lists the backends it did not find
    config = _CONFIG.value
    settings = from_config(config)
    compilation.enable_cache(Path(_CACHE.value))
    workdir = open_workdir(Path(_WORKDIR.value), config.to_dict(), resume=_RESUME.value)
    found = phases.run(settings, workdir)
    print(f"\n{summary.table(found)}")
    print(f"Look at {workdir.path / 'report.html'}")


if __name__ == "__main__":
    errors.run(main)
