"""Records of an experiment's runs: one CSV file of learning histories, one JSON file.

    NAME.csv   variant, seed, update and every metric, one row per RL update
    NAME.json  the settings that all runs share and, for each run, its variant, seed,
               other settings, evaluations and wall seconds

`experiments.ablation` writes both into its workdir. Those of the runs that the README
reports lie in experiments/records; `experiments.reporting.tables` makes its tables and
pictures from them.
"""

import collections
import csv
import json
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

from experiments.reporting.files import replacing, write_json

KEYS = ("variant", "seed", "update")  # the first columns of the CSV file


class Run(NamedTuple):
    """One variant under one seed."""

    variant: str
    seed: int
    settings: dict[str, Any]  # by dotted name
    evaluations: dict[str, dict[str, Any]]  # "before" or "after" RL, and others
    history: list[dict[str, float]]  # one row per RL update; empty without RL
    wall_seconds: dict[str, float]  # by phase

    @property
    def final(self) -> dict[str, Any]:
        """The evaluation of the trained policy: after RL where there is RL."""
        return self.evaluations["after" if self.history else "before"]


def save(stem: Path, runs: Sequence[Run], *, variants: Sequence[str]) -> None:
    """Write `stem`.csv and `stem`.json, each whole or not at all.

    Args:
      stem: the path of both files without their extension.
      runs: in the order in which they are to be listed.
      variants: names of those that tables and pictures show, in this order.
    """
    metrics = sorted({name for run in runs for row in run.history for name in row})
    columns = [*KEYS, *(name for name in metrics if name not in KEYS)]
    with replacing(stem.with_suffix(".csv")) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            for run in runs:
                for row in run.history:
                    key = {"variant": run.variant, "seed": run.seed}
                    writer.writerow(key | row | {"update": int(row["update"])})
    common = _common([run.settings for run in runs])
    entries = [
        {
            "variant": run.variant,
            "seed": run.seed,
            "settings": {
                name: value
                for name, value in run.settings.items()
                if name != "seed" and (name not in common or common[name] != value)
            },
            "evaluations": run.evaluations,
            "wall_seconds": run.wall_seconds,
        }
        for run in runs
    ]
    content = {"variants": list(variants), "settings": common, "runs": entries}
    write_json(stem.with_suffix(".json"), content, indent=1)


def load(stem: Path) -> tuple[list[Run], list[str]]:
    """Read what `save` wrote.

    Returns:
      The runs, and the names of the variants that tables and pictures show.

    Raises:
      ValueError: one of the files cannot be read.
    """
    histories: dict[tuple[str, int], list[dict[str, float]]]
    histories = collections.defaultdict(list)
    path = stem.with_suffix(".csv")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = row.pop("variant"), int(row.pop("seed"))
                numbers = {name: float(text) for name, text in row.items() if text}
                histories[key].append(numbers)
        path = stem.with_suffix(".json")
        content = json.loads(path.read_text("utf-8"))
        runs = [
            Run(
                entry["variant"],
                entry["seed"],
                content["settings"] | entry["settings"] | {"seed": entry["seed"]},
                entry["evaluations"],
                histories[entry["variant"], entry["seed"]],
                entry["wall_seconds"],
            )
            for entry in content["runs"]
        ]
        return runs, content["variants"]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a table of records: {error!r}.") from error


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by dotted name, in their own order."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            leaves |= flatten(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


def _common(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The most frequent value of every setting that all runs have, but the seed."""
    common = {}
    for name in settings[0] if settings else ():
        if name != "seed" and all(name in of_run for of_run in settings):
            texts = [json.dumps(of_run[name]) for of_run in settings]
            common[name] = json.loads(collections.Counter(texts).most_common(1)[0][0])
    return common
