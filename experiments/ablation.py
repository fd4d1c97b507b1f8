"""The paper's ablation by one command: a table, and learning curves in one picture.

python -m experiments.ablation --workdir=runs/ablation
    [--config=experiments/configs/ablation.py] [--config.rl.updates=100]

Finished variants are not trained again: repeat the command after an interruption, or
give every machine its seeds (`--config.seeds=0,`), merge their folders, and repeat it
for the table of all.
"""

from pathlib import Path

from absl import flags, logging

from experiments.pipeline import sweep
from experiments.reporting import errors, records, tables
from omnivla_jax.core import compile as compilation

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "ablation.py"))
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of everything that the runs write.", required=True
)


def main(argv: list[str]) -> None:
    """Train unfinished variants, write records and curves.png, print a table."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    root, names = Path(_WORKDIR.value), _CONFIG.value.variant_names
    runs = sweep.run(_CONFIG.value, root)
    records.save(root / "ablation", runs, variants=names)
    tables.draw_variants(root / "curves.png", runs, names)
    tables.draw_demonstrations(root / "demonstrations.png", runs, names)
    print(tables.variant_table(runs, names))


if __name__ == "__main__":
    errors.run(main)
