"""Statistics files: openpi's formulas by hand, and what is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.policy import norm_stats, normalize
from omnivla_jax.policy.norm_stats import VectorStats

STATE = VectorStats(*np.array([[0.5, 2.0], [0.25, 0.0], [0.0, 2.0], [1.0, 2.0]]))
ACTIONS = VectorStats(*np.array([[1.0], [2.0], [-3.0], [5.0]]))
SIZES = {"proprio_dim": 2, "action_dim": 1}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "assets" / "norm_stats.json"
    norm_stats.write(file, state=STATE, actions=ACTIONS)
    return file


def test_form_is_openpis(path):
    stats = json.loads(path.read_text())
    assert list(stats) == ["norm_stats"]
    assert list(stats["norm_stats"]) == ["state", "actions"]
    assert stats["norm_stats"]["actions"] == {
        "mean": [1.0],
        "std": [2.0],
        "q01": [-3.0],
        "q99": [5.0],
    }
    assert [file.name for file in path.parent.iterdir()] == ["norm_stats.json"]


def test_mean_std_worked_by_hand(path):
    maps = norm_stats.read(path, "mean_std", **SIZES)
    x = normalize.normalize(maps.state, jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(x, np.array([0.5 / 0.250001, 0]), rtol=1e-6)
    x = normalize.normalize(maps.action, jnp.array([-1.0]))
    np.testing.assert_allclose(x, [-2 / 2.000001], rtol=1e-6)


def test_quantiles_worked_by_hand(path):
    maps = norm_stats.read(path, "quantiles", **SIZES)
    x = normalize.normalize(maps.action, jnp.array([[-3.0], [5.0], [9.0]]))
    expected = np.array([[-1], [1 - 2.5e-7], [2 - 3.75e-7]])
    np.testing.assert_allclose(x, expected, atol=1e-6)
    back = normalize.unnormalize(maps.action, x)
    np.testing.assert_allclose(back, [[-3], [5], [9]], atol=1e-5)


@pytest.mark.parametrize("mode", norm_stats.MODES)
def test_padding_behind_the_robot_is_left_out(tmp_path, mode):
    maps = []
    for width in (0, 30):
        padded = (np.pad(vector, (0, width)) for vector in STATE)
        file = tmp_path / f"{width}.json"
        norm_stats.write(file, state=VectorStats(*padded), actions=ACTIONS)
        maps.append(norm_stats.read(file, mode, **SIZES))
    np.testing.assert_array_equal(maps[0].state.offset, maps[1].state.offset)
    np.testing.assert_array_equal(maps[0].state.scale, maps[1].state.scale)


def test_mean_std_needs_no_quantiles(path):
    stats = json.loads(path.read_text())["norm_stats"]
    for group in stats.values():
        group.update(q01=None, q99=None)
    path.write_text(json.dumps({"norm_stats": stats}))
    norm_stats.read(path, "mean_std", **SIZES)
    with pytest.raises(ValueError, match="q01"):
        norm_stats.read(path, "quantiles", **SIZES)


def test_nothing_is_overwritten(path):
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="choose another"):
        norm_stats.write(path, state=STATE, actions=STATE)
    assert path.read_bytes() == before


def test_unknown_mode_lists_the_modes(path):
    with pytest.raises(ValueError, match="mean_std, quantiles"):
        norm_stats.read(path, "minmax", **SIZES)


@pytest.mark.parametrize(
    "change, words",
    [
        ("text", "Expecting value"),
        ("no actions", "lacks 'actions'"),
        ("no q99", "lacks 'q99'"),
        ("short", r"q01 has shape \(0,\)"),
        ("infinite", r"q01 is \[inf"),
        ("swapped", "below q01"),
        ("missing", "not there"),
    ],
)
def test_unusable_files_are_one_line(path, change, words):
    stats = json.loads(path.read_text())["norm_stats"]
    if change == "no actions":
        del stats["actions"]
    if change == "no q99":
        del stats["state"]["q99"]
    if change == "short":
        stats["actions"]["q01"].pop()
    if change == "infinite":
        stats["actions"]["q01"][0] = float("inf")
    if change == "swapped":
        stats["actions"]["q01"][0] = 6.0
    path.write_text("-" if change == "text" else json.dumps({"norm_stats": stats}))
    if change == "missing":
        path.unlink()
    with pytest.raises(ValueError, match=words) as error:
        norm_stats.read(path, "quantiles", **SIZES)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
