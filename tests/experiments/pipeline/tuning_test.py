"""Tests of experiments.pipeline.tuning: fair comparisons, and who wins them."""

import pytest

from experiments.configs import methods as config_file
from experiments.configs.schema import from_config
from experiments.pipeline import sweep, tuning
from experiments.reporting.records import Run


def run(variant, seed, success):
    evaluation = {"success": success, "episodes": 20}
    return Run(variant, seed, {}, {"before": evaluation}, [], {})


def all_methods(config):
    return {name: tuple(config.methods[name]) for name in config.method_names}


def test_every_configuration_is_a_training_config():
    config = config_file.get_config()
    totals = set()
    for name in config.variant_names:
        settings = from_config(sweep.variant_config(config, name, seed=3))
        assert settings.seed == 3 and len(settings.tasks) == 6
        if settings.rl.updates:
            totals.add(settings.rl.updates * settings.rl.total)
    assert len(totals) == 1, "equal steps"
    tuning.check(config, all_methods(config))


def test_the_best_mean_over_tuning_seeds_wins():
    tried = [run("a", 100, 0.5), run("a", 101, 0.9), run("b", 100, 0.8)]
    tried += [run("b", 101, 0.5), run("c", 100, 0.1), run("c", 101, 0.1)]
    winners = tuning.choose({"x": ("a", "b"), "y": ("c",)}, tried)
    assert winners == {"x": "a", "y": "c"}
    assert tuning.choose({"x": ("d", "a")}, [run("d", 100, 0.7), *tried])["x"] == "d"


def test_unfair_comparisons_are_named():
    config = config_file.get_config()
    methods = all_methods(config)
    unequal = methods | {"PPO": methods["PPO"][:2]}
    with pytest.raises(
        ValueError, match="unequal numbers of configurations, .*'PPO': 2"
    ):
        tuning.check(config, unequal)
    with pytest.raises(ValueError, match=r"no variants \['PPO: lucky'\]"):
        tuning.check(config, methods | {"PPO": ("PPO: lucky",)})
    config.tuning_seeds = (4, 5)
    with pytest.raises(ValueError, match=r"Seeds \[4\] tune and judge"):
        tuning.check(config, methods)


def test_winners_play_under_the_other_seeds(monkeypatch, tmp_path):
    config = config_file.get_config("debug")
    asked = []

    def stand_in(part, root):
        asked.append((part.variant_names, part.seeds))
        return [
            run(name, seed, 0.9 if "fast" in name else 0.1)
            for seed in part.seeds
            for name in part.variant_names
        ]

    monkeypatch.setattr(sweep, "run", stand_in)
    found = tuning.run(config, tmp_path)
    assert asked == [
        (("SFT: only", "NFT: slow", "NFT: fast"), (100,)),
        (("SFT: only", "NFT: fast"), (0,)),
    ]
    assert found.winners == {"SFT": "SFT: only", "NFT": "NFT: fast"}
    assert len(found.tried) == 3 and len(found.played) == 2
