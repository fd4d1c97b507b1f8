"""Tests of experiments.reporting.tables: pooled seeds, and the README's own tables."""

from pathlib import Path

from experiments.reporting import records, tables
from omnivla_jax.train.evaluate import wilson_interval

RECORDS = Path(__file__).parents[3] / "experiments" / "records"


def run(seed, success):
    evaluation = {"success": success, "episodes": 20}
    return records.Run("some", seed, {}, {"before": evaluation}, [], {})


def test_success_is_pooled_over_seeds():
    runs = [run(0, 0.5), run(1, 0.75)]
    pooled = tables.pool_seeds(runs)
    assert pooled["success"] == 25 / 40 and pooled["seeds"] == [0.5, 0.75]
    assert pooled["interval"] == list(wilson_interval(25, 40))
    table = tables.variant_table(runs, ["some"])
    assert "| some | 62% (47% to 76%) | 50%, 75% |" in table


def test_ablation_records_give_the_published_table():
    table = tables.variant_table(*records.load(RECORDS / "ablation"))
    for row in (
        "| SFT only | 54% (50% to 58%) | 55%, 47%, 60% |",
        "| + PPO | 64% (60% to 68%) | 66%, 63%, 63% |",
        "| + GRPO | 72% (68% to 75%) | 71%, 71%, 73% |",
        "| + Flow-GSPO, trajectory groups | 70% (66% to 73%) | 68%, 70%, 71% |",
    ):
        assert row in table


def test_quickstart_records_give_the_published_table():
    runs, (name,) = records.load(RECORDS / "quickstart")
    table = tables.seed_table([run for run in runs if run.variant == name])
    for row in (
        "| all, seed 0 | 91% (86% to 94%) | 97% (94% to 99%) | 0% (0% to 2%) |",
        "| all, seed 1 | 92% (87% to 95%) | 98% (95% to 99%) | 0% (0% to 2%) |",
        "| all, seed 2 | 90% (85% to 93%) | 97% (94% to 99%) | 0% (0% to 2%) |",
    ):
        assert row in table
    assert table.count("\n") == 7


def test_variants_are_drawn_from_records(tmp_path):
    tables.draw_variants(tmp_path / "x.png", *records.load(RECORDS / "ablation"))
    assert (tmp_path / "x.png").stat().st_size > 10_000


def test_success_is_drawn_by_the_number_of_demonstrations(tmp_path):
    names = [f"{n} demonstrations, {who}" for who in "ab" for n in (36, 72)]
    runs = [run(seed, 0.5)._replace(variant=n) for n in names for seed in (0, 1)]
    tables.draw_demonstrations(tmp_path / "x.png", runs, names)
    assert (tmp_path / "x.png").stat().st_size > 10_000
    plain = [run(0, 0.5)]
    tables.draw_demonstrations(tmp_path / "y.png", plain, ["some"])
    assert not (tmp_path / "y.png").exists()
