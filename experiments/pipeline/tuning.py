"""Compares methods after equal tuning: configurations on some seeds, winners on others.

    methods        method -> its configurations, names of `variants`
    method_names   the methods, in the order of the table
    tuning_seeds   under which every configuration is trained
    seeds          under which each method's best configuration is trained again

The best configuration has the highest mean success over the tuning seeds; of equal ones
the first is taken. Methods have equally many, but for those that train nothing.
"""

import statistics
from pathlib import Path
from typing import Mapping, NamedTuple, Sequence

from ml_collections import ConfigDict

from experiments.pipeline import sweep
from experiments.reporting.records import Run


class Comparison(NamedTuple):
    """All runs of a comparison, and which of them its table is made of."""

    tried: list[Run]  # under the tuning seeds
    played: list[Run]  # the winners, under the others
    winners: dict[str, str]  # method -> the name of its best configuration


def run(config: ConfigDict, root: Path) -> Comparison:
    """Train whatever is not finished, run by run.

    Args:
      config: of a run, with `variants`, `methods`, `tuning_seeds` and `seeds` beside.
      root: folder of all.

    Returns:
      The comparison.

    Raises:
      ValueError: seeds are used twice, or methods were not tuned alike.
    """
    methods = {name: tuple(config.methods[name]) for name in config.method_names}
    check(config, methods)
    names = [name for names in methods.values() for name in names]
    tried = sweep.run(_part(config, names, config.tuning_seeds), root)
    winners = choose(methods, tried)
    played = sweep.run(_part(config, list(winners.values()), config.seeds), root)
    return Comparison(tried, played, winners)


def check(config: ConfigDict, methods: Mapping[str, Sequence[str]]) -> None:
    """Refuse comparisons that favour a method.

    Raises:
      ValueError: naming what differs.
    """
    both = sorted(set(config.tuning_seeds) & set(config.seeds))
    if both:
        raise ValueError(
            f"Seeds {both} tune and judge: a method would be judged where it was "
            "chosen, so keep tuning_seeds and seeds apart."
        )
    missing = [
        n for names in methods.values() for n in names if n not in config.variants
    ]
    if missing:
        raise ValueError(f"methods name no variants {missing}: add them to variants.")
    counts = {
        method: len(names)
        for method, names in methods.items()
        if config.variants[names[0]].to_dict().get("rl", {}).get("updates", 1) > 0
    }
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"Methods have unequal numbers of configurations, {counts}: give each as "
            "many, or the one that was tried most often wins by luck."
        )


def choose(
    methods: Mapping[str, Sequence[str]], tried: Sequence[Run]
) -> dict[str, str]:
    """The configuration of each method that did best under the tuning seeds.

    Args:
      methods: their configurations, by name.
      tried: runs of all of them.

    Returns:
      Method -> name of a configuration.
    """
    success: dict[str, list[float]] = {}
    for run in tried:
        success.setdefault(run.variant, []).append(run.final["success"])
    return {
        method: max(names, key=lambda name: statistics.fmean(success[name]))
        for method, names in methods.items()
    }


def _part(config: ConfigDict, names: Sequence[str], seeds: Sequence[int]) -> ConfigDict:
    """The sweep of some variants under some seeds."""
    part = ConfigDict(config.to_dict())
    with part.unlocked():
        part.variant_names, part.seeds = tuple(names), tuple(seeds)
    return part
