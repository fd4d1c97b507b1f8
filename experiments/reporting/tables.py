"""Tables and pictures of records: the README's by one command, in a few seconds.

python -m experiments.reporting.tables [--records=experiments/records]
    [--pictures=experiments/pictures]

Prints the quickstart's, the ablation's and, where it was measured, the methods' tables
in Markdown, and writes curve.png, ablation.png and methods.png.
"""

from pathlib import Path
from typing import Any, Mapping, Sequence

from absl import flags

from experiments.reporting import comparison, curves, errors, records
from experiments.reporting.records import Run
from omnivla_jax.train.evaluate import wilson_interval

_RECORDS = flags.DEFINE_string("records", "experiments/records", "Folder of records.")
_PICTURES = flags.DEFINE_string(
    "pictures", "experiments/pictures", "Folder of the pictures."
)


def main(argv: list[str]) -> None:
    """Print the tables and draw their pictures."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    folder, pictures = Path(_RECORDS.value), Path(_PICTURES.value)
    runs, variants = records.load(folder / "quickstart")
    of_seeds = [run for run in runs if run.variant == variants[0]]
    print(f"Quickstart\n\n{seed_table(of_seeds)}\n\n{_tried(runs, variants)}")
    before, after = (of_seeds[0].evaluations[phase] for phase in ("before", "after"))
    history = of_seeds[0].history
    curves.save(pictures / "curve.png", history, before=before, after=after)

    runs, variants = records.load(folder / "ablation")
    print(f"\nAblation\n\n{variant_table(runs, variants)}\n\n{_tried(runs, variants)}")
    draw_variants(pictures / "ablation.png", runs, variants)

    if (folder / "methods.json").exists():
        runs, variants = records.load(folder / "methods")
        print(f"\nMethods\n\n{comparison.table(runs, variants)}")
        draw_variants(pictures / "methods.png", runs, variants)


def seed_table(runs: Sequence[Run]) -> str:
    """Tasks of the first seed and totals of every seed, before and after RL."""
    phases = ("before", "after", "swapped_instructions")
    columns = [runs[0].evaluations[phase] for phase in phases]
    rows = [
        (name, [column["per_task"][name] for column in columns])
        for name in columns[0]["per_task"]
    ]
    for run in runs:
        rows.append((f"all, seed {run.seed}", [run.evaluations[p] for p in phases]))
    return "\n".join(
        [
            "| success | after SFT | after online RL | instructions swapped |",
            "|---|---|---|---|",
            *(f"| {name} | {' | '.join(map(_cell, cells))} |" for name, cells in rows),
        ]
    )


def variant_table(runs: Sequence[Run], variants: Sequence[str]) -> str:
    """Success of each variant over all seeds and by seed, in Markdown."""
    lines = [
        "| variant | success (95 % interval over episodes) | by seed |",
        "|---|---|---|",
    ]
    diverged = 0
    for name in variants:
        pooled = pool_seeds([run for run in runs if run.variant == name])
        shares = ", ".join(f"{share:.0%}" for share in pooled["seeds"])
        lines.append(f"| {name} | {_cell(pooled)} | {shares} |")
        diverged += pooled["diverged"]
    lines += ["", f"Diverged episodes, which count as failures: {diverged}."]
    return "\n".join(lines)


def pool_seeds(runs: Sequence[Run]) -> dict[str, Any]:
    """Success over the episodes of all seeds, its 95 % interval, and by seed."""
    shares = [run.final["success"] for run in runs]
    counts = [run.final["episodes"] for run in runs]
    successes = round(sum(share * count for share, count in zip(shares, counts)))
    return {
        "success": successes / sum(counts),
        "interval": list(wilson_interval(successes, sum(counts))),
        "seeds": shares,
        "episodes": sum(counts),
        "diverged": sum(run.final.get("diverged", 0) for run in runs),
    }


def draw_variants(path: Path, runs: Sequence[Run], variants: Sequence[str]) -> None:
    """Draw the learning curves of all variants, and their final success beside them.

    A variant without RL is a horizontal line.
    """
    by_variant = {n: [run for run in runs if run.variant == n] for n in variants}
    pooled = {name: pool_seeds(of_seeds) for name, of_seeds in by_variant.items()}
    histories = {
        name: [run.history for run in of_seeds]
        for name, of_seeds in by_variant.items()
        if all(run.history for run in of_seeds)
    }
    curves.compare(
        path,
        histories,
        levels={name: row for name, row in pooled.items() if name not in histories},
        ends={name: pooled[name] for name in histories},
    )


def _tried(runs: Sequence[Run], variants: Sequence[str]) -> str:
    """The final success of the runs that are not in the table, a line each."""
    others = [run for run in runs if run.variant not in variants]
    lines = [f"{run.variant}, seed {run.seed}: {_cell(run.final)}" for run in others]
    return "\n".join(["Not in the table:", *lines])


def _cell(evaluation: Mapping[str, Any]) -> str:
    """A success rate and its 95 % interval."""
    low, high = evaluation["interval"]
    return f"{evaluation['success']:.0%} ({low:.0%} to {high:.0%})"


if __name__ == "__main__":
    errors.run(main)
