"""Tests of experiments.ablation: its variants, its table, and a run on toy sizes."""

import shutil

import pytest
from ml_collections import ConfigDict

from experiments.configs import ablation as config_file
from experiments.configs import spatial_ablation
from experiments.configs.schema import from_config
from experiments.pipeline import sweep
from experiments.pipeline.workdir import open_workdir
from experiments.reporting import records
from tests.helpers import launchers


@pytest.mark.parametrize("name", config_file.VARIANTS)
def test_every_variant_is_a_training_config(name):
    config = config_file.get_config()
    settings = from_config(sweep.variant_config(config, name, seed=2))
    assert settings.seed == 2 and len(settings.tasks) >= 6
    assert (settings.policy.mot.spatial is None) == ("without the spatial" in name)
    assert settings.rl.objective.has_critic == ("PPO" in name)
    assert (settings.rl.num_branches > 1) == ("chunk groups" in name)


@pytest.mark.parametrize("variant", ["", "demonstrations"])
def test_stage_one_is_compared_on_equal_terms(variant):
    config = spatial_ablation.get_config(variant)
    assert len(config.variant_names) == 8 and len(config.seeds) == 5
    for name in config.variant_names:
        settings = from_config(sweep.variant_config(config, name, seed=1))
        assert (settings.policy.mot.spatial is None) == ("no spatial" in name)
        expected = "stage I" in name and "no stage I" not in name
        assert ("spatial" in settings.stages) == expected, name
        assert settings.sft.steps == 360 and settings.evaluation.episodes == 210
        count = int(name.split()[0]) if variant else 288
        assert settings.demonstrations.episodes == count


def test_stage_one_is_shared_by_its_variants(tmp_path):
    """Its folder does not depend on stage II; stage II's folder depends on it."""
    config = spatial_ablation.get_config("demonstrations")
    few, many, without = (
        sweep.variant_config(config, f"{name}", 0)
        for name in (
            "36 demonstrations, stage I",
            "288 demonstrations, stage I",
            "288 demonstrations, no spatial expert",
        )
    )
    same = ConfigDict(many.to_dict())
    same.stages = ("sft",)
    first, second = (sweep._spatial_workdir(c, tmp_path).path for c in (few, many))
    assert first == second
    folders = {sweep._sft_workdir(c, tmp_path).path for c in (few, many, without, same)}
    assert len(folders) == 4


def test_variants_train_on_the_same_number_of_steps():
    config = config_file.get_config()
    runs = [
        from_config(sweep.variant_config(config, n, 0)).rl for n in config.variant_names
    ]
    totals = {rl.updates * rl.total for rl in runs if rl.updates}
    assert len(totals) == 1 and len(runs) == 7


def test_folders_above_and_below_the_seeds_are_named(tmp_path):
    config = config_file.get_config("debug")
    root = tmp_path / "ablation"
    (root / "seed-0" / "sft-0123").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"single seed: give --workdir={root}"):
        sweep.run(config, root / "seed-0")
    with pytest.raises(ValueError, match=f"too deep .*move it to {tmp_path}/seed-0"):
        sweep.run(config, tmp_path)
    run = open_workdir(tmp_path / "run", {"seed": 0}, resume=False).path
    with pytest.raises(ValueError, match=f"{run} is a single run"):
        sweep.run(config, run / "checkpoints")


@pytest.mark.slow
def test_stage_one_runs_before_fine_tuning(tmp_path):
    config = "--config=experiments/configs/spatial_ablation.py:debug"
    command = ("experiments.ablation", config, f"--workdir={tmp_path / 'runs'}")
    done = launchers.run(*command)
    assert done.returncode == 0, done.stderr
    runs, variants = records.load(tmp_path / "runs" / "ablation")
    assert variants == ["SFT, stage I, geometry kept"]
    (stage,) = (tmp_path / "runs" / "seed-0").glob("spatial-*")
    assert (stage / "geometry.html").stat().st_size > 1000


@pytest.mark.slow
def test_the_launcher_runs_and_resumes(tmp_path):
    config = "--config=experiments/configs/ablation.py:debug"
    command = ("experiments.ablation", config, f"--workdir={tmp_path / 'runs'}")
    done = launchers.run(*command)
    assert done.returncode == 0, done.stderr
    runs, variants = records.load(tmp_path / "runs" / "ablation")
    assert variants == ["SFT only", "+ PPO"]
    assert [run.variant for run in runs] == variants
    assert [len(run.history) for run in runs] == [0, 2]
    assert all(f"| {name} |" in done.stdout for name in variants)
    assert (tmp_path / "runs" / "curves.png").stat().st_size > 1000
    for folder in (tmp_path / "runs").glob("seed-0/*/"):
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    again = launchers.run(*command)
    assert again.returncode == 0, again.stderr
    assert again.stdout in done.stdout and "compiling" not in again.stdout
    assert len(list((tmp_path / "runs" / "seed-0").glob("demonstrations-*"))) == 1
