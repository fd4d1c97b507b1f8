"""The paper's ablation by one command: a table, and learning curves in one picture.

python -m experiments.ablation --workdir=runs/ablation
    [--config=experiments/configs/ablation.py] [--config.rl.updates=100]

What is finished is not done again: repeat the command after an interruption, or give
every machine its seeds (`--config.seeds=0,`), lay their folders side by side, and
repeat it for the table of all.
"""

from pathlib import Path

from absl import flags, logging

from experiments.pipeline import sweep
from experiments.reporting import errors, records, tables
from omnivla_jax.core import compile as compilation

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "ablation.py"))
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for everything the runs leave behind.", required=True
)


def main(argv: list[str]) -> None:
    """Run what is not finished, write its records and curves.png, print the table."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    root = Path(_WORKDIR.value)
    runs = sweep.run(_CONFIG.value, root)
    variants = _CONFIG.value.compared
    records.save(root / "ablation", runs, variants=variants)
    tables.draw_variants(root / "curves.png", runs, variants)
    print(tables.variant_table(runs, variants))


if __name__ == "__main__":
    errors.run(main)
