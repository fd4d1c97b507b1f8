"""The paper's ablation by one command: a table, and learning curves in one picture.

python -m experiments.ablation --workdir=runs/ablation
    [--config=experiments/configs/ablation.py] [--config.rl.updates=100]
python -m experiments.ablation --workdir=runs/methods
    --config=experiments/configs/methods.py     methods, tuned alike and then compared

Finished variants are not trained again: repeat the command after an interruption, or
give every machine its seeds (`--config.seeds=0,`), merge their folders, and repeat it
for the table of all.
"""

from pathlib import Path

from absl import flags, logging
from ml_collections import ConfigDict

from experiments.pipeline import sweep, tuning
from experiments.reporting import comparison, errors, records, tables
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
    config, root = _CONFIG.value, Path(_WORKDIR.value)
    if "methods" in config:
        return compare_methods(config, root)
    names = config.variant_names
    runs = sweep.run(config, root)
    records.save(root / "ablation", runs, variants=names)
    tables.draw_variants(root / "curves.png", runs, names)
    return print(tables.variant_table(runs, names))


def compare_methods(config: ConfigDict, root: Path) -> None:
    """Tune every method, compare the winners, write both as records and print tables.

    Args:
      config: with `methods`, see `pipeline.tuning`.
      root: folder of all runs.
    """
    outcome = tuning.run(config, root)
    tried = list(dict.fromkeys(run.variant for run in outcome.tried))
    winners = list(outcome.winners.values())
    records.save(root / "tuning", outcome.tried, variants=tried)
    records.save(root / "methods", outcome.played, variants=winners)
    tables.draw_variants(root / "curves.png", outcome.played, winners)
    print(f"Tuning\n\n{tables.variant_table(outcome.tried, tried)}\n")
    print(comparison.table(outcome.played, winners))


if __name__ == "__main__":
    errors.run(main)
