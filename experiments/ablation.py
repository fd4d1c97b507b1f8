"""The paper's ablation by one command: a table, and learning curves in one picture.

python -m experiments.ablation --workdir=runs/ablation
    [--config=experiments/configs/ablation.py] [--config.rl.updates=100]

Finished variants are not trained again: repeat the command after an interruption, or
give every machine its seeds (`--config.seeds=0,`), merge their folders, and repeat it
for the table of all.
"""

import json
from pathlib import Path
from typing import Any, Mapping

from absl import flags, logging

from experiments.pipeline import sweep
from experiments.reporting import curves, errors
from experiments.reporting.files import replacing
from omnivla_jax.core import compile as compilation

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "ablation.py"))
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of everything that the runs write.", required=True
)


def main(argv: list[str]) -> None:
    """Train unfinished variants, write ablation.json and curves.png, print a table."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    root = Path(_WORKDIR.value)
    by_seed = sweep.run(_CONFIG.value, root)
    pooled = {name: sweep.pool_seeds(results) for name, results in by_seed.items()}
    with replacing(root / "ablation.json") as temporary:
        temporary.write_text(json.dumps(pooled, indent=2) + "\n", "utf-8")
    histories = {
        name: [result.history for result in results]
        for name, results in by_seed.items()
    }
    trained = {name: rows for name, rows in histories.items() if all(rows)}
    curves.compare(
        root / "curves.png",
        trained,
        levels={name: row for name, row in pooled.items() if name not in trained},
        ends={name: pooled[name] for name in trained},
    )
    print(table(pooled))


def table(pooled: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table with one row for each variant.

    Args:
      pooled: variant -> `sweep.pool_seeds` of its results.

    Returns:
      Several lines.
    """
    lines = [
        "| variant | success (95 % interval over episodes) | by seed |",
        "|---|---|---|",
    ]
    for name, row in pooled.items():
        low, high = row["interval"]
        seeds = ", ".join(f"{share:.0%}" for share in row["seeds"])
        cell = f"{row['success']:.0%} ({low:.0%} to {high:.0%})"
        lines.append(f"| {name} | {cell} | {seeds} |")
    diverged = sum(row["diverged"] for row in pooled.values())
    lines += ["", f"Diverged episodes, which count as failures: {diverged}."]
    return "\n".join(lines)


if __name__ == "__main__":
    errors.run(main)
