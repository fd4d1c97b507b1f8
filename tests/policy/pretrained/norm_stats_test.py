"""Statistics files against openpi's formulas, and what is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy import normalize
from omnivla_jax.policy.pretrained import norm_stats
from tests.helpers.pretrained import published_folder

SIZES = {"proprio_dim": 8, "action_dim": 7}


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "a" / "norm_stats.json"
    return path, published_folder.write_stats(path)


def test_moments_are_openpi_z_scores(stored):
    path, stats = stored
    found = norm_stats.read(path, "mean_std", **SIZES)
    for affine, name in ((found.state, "state"), (found.action, "actions")):
        mean, std = (np.array(stats[name][key]) for key in ("mean", "std"))
        x = jnp.linspace(-2, 2, len(mean))
        np.testing.assert_allclose(
            normalize.normalize(affine, x), (x - mean) / (std + 1e-6), rtol=1e-5
        )
        back = normalize.unnormalize(affine, x)
        np.testing.assert_allclose(back, x * (std + 1e-6) + mean, rtol=1e-5)


def test_quantiles_are_openpi_ranges(stored):
    path, stats = stored
    found = norm_stats.read(path, "quantiles", **SIZES)
    for affine, name in ((found.state, "state"), (found.action, "actions")):
        low, high = (np.array(stats[name][key]) for key in ("q01", "q99"))
        x = jnp.linspace(-2, 2, len(low))
        expected = (x - low) / (high - low + 1e-6) * 2 - 1
        actual = normalize.normalize(affine, x)
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
        back = (x + 1) / 2 * (high - low + 1e-6) + low
        actual = normalize.unnormalize(affine, x)
        np.testing.assert_allclose(actual, back, rtol=1e-4, atol=1e-5)


def test_padding_behind_the_robot_is_left_out(stored):
    path, stats = stored
    before = norm_stats.read(path, "mean_std", **SIZES)
    for name in stats:
        for key in stats[name]:
            stats[name][key] += [0.0] * (32 - len(stats[name][key]))
    path.write_text(json.dumps({"norm_stats": stats}))
    after = norm_stats.read(path, "mean_std", **SIZES)
    np.testing.assert_array_equal(after.state.scale, before.state.scale)
    np.testing.assert_array_equal(after.action.offset, before.action.offset)


@pytest.mark.parametrize(
    "change, words",
    [
        ("text", "Expecting value"),
        ("no actions", "lacks 'actions'"),
        ("no q99", "lacks 'q99'"),
        ("short", r"q01 has shape \(6,\)"),
        ("infinite", r"q01 is \[inf"),
    ],
)
def test_unusable_files_are_one_line(stored, change, words):
    path, stats = stored
    if change == "no actions":
        del stats["actions"]
    if change == "no q99":
        del stats["state"]["q99"]
    if change == "short":
        stats["actions"]["q01"].pop()
    if change == "infinite":
        stats["actions"]["q01"][0] = float("inf")
    path.write_text("-" if change == "text" else json.dumps({"norm_stats": stats}))
    with pytest.raises(ValueError, match=words) as error:
        norm_stats.read(path, "quantiles", **SIZES)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
