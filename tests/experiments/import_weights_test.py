"""Tests of the command that imports public weights, on the debug preset."""

import chex
import jax
import numpy as np
import pytest

from experiments.pipeline import imported_weights
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import parameters
from omnivla_jax.train import checkpoints
from tests.helpers import launchers
from tests.helpers.pretrained import fakes

CONFIG = configs.preset("debug")


def run(*flags):
    return launchers.run("experiments.import_weights", "--preset=debug", *flags)


@pytest.fixture
def params():
    """Every entry its own value, as NumPy arrays."""
    like, rng = parameters.shapes(CONFIG), np.random.default_rng(0)
    made = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), like)
    positions = made["reasoning"]["encoder"]["pos_embedding"]
    positions[:] = positions[0]
    return made


@pytest.mark.slow
def test_an_import_reports_initial_values(tmp_path, params):
    fakes.write_npz(tmp_path / "pt.npz", fakes.paligemma(params, CONFIG.vision))
    out = tmp_path / "weights"
    command = ("--from=paligemma-npz", f"--path={tmp_path}/pt.npz", f"--out={out}")
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "spatial/encoder" in done.stdout and "reasoning/" not in done.stdout
    newest = checkpoints.latest(out)
    assert newest is not None and str(out) in done.stdout
    assert imported_weights.update_config(out, CONFIG) == CONFIG, "nothing to change"
    restored = checkpoints.restore(newest, params).tree
    chex.assert_trees_all_equal(restored["reasoning"], params["reasoning"])
    again = run(*command)
    assert again.returncode == 2 and f"--out={out} is taken" in again.stderr


def test_a_foreign_folder_is_not_written_to(tmp_path):
    out = tmp_path / "weights"
    out.mkdir()
    (out / "weights.json").write_text('{"of": "mine"}')
    done = run("--from=paligemma-npz", f"--path={tmp_path}/pt.npz", f"--out={out}")
    assert done.returncode == 2 and f"--out={out} is taken" in done.stderr
    assert (out / "weights.json").read_text() == '{"of": "mine"}'


def test_a_misfit_lists_every_name_and_writes_nothing(tmp_path, params):
    arrays = fakes.paligemma(params, CONFIG.vision)
    del arrays["img/head/bias"]
    fakes.write_npz(tmp_path / "pt.npz", arrays | {"new": np.zeros(2)})
    out = tmp_path / "weights"
    done = run("--from=paligemma-npz", f"--path={tmp_path}/pt.npz", f"--out={out}")
    assert done.returncode == 1 and not out.exists()
    assert "missing name: img/head/bias" in done.stderr
    assert "surplus name: new (2,)" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.endswith("does not fit the policy: 1 missing name, 1 surplus name.")
