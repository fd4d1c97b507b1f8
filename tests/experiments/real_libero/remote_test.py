"""Tests of the real LIBERO over a pipe, against a small stand-in for the package."""

import sys

import numpy as np
import pytest

from experiments.real_libero.remote import RealLibero
from tests.helpers import stand_in_libero


@pytest.fixture
def real(tmp_path, monkeypatch):
    stand_in_libero.write(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("LIBERO_CONFIG_PATH", raising=False)
    with RealLibero(sys.executable) as environment:
        yield environment


def test_states_and_poses_come_back(real, tmp_path):
    states = real.open("libero_goal", "stove", camera_size=0, seed=7)
    folder = tmp_path / "libero" / "libero" / "init_files" / "libero_goal"
    assert states == folder / "stove.pruned_init"
    observation = real.reset(np.array([0.0, 0.25, 0.5, 0.125]))
    np.testing.assert_array_equal(observation.qpos, [0.25, 0.5])
    np.testing.assert_array_equal(observation.qvel, [0.125])
    np.testing.assert_array_equal(observation.fixtures["stove"][0], [6.0, 7.0, 8.0])
    np.testing.assert_array_equal(observation.fingers, [0.04, -0.04])
    assert observation.images is None and not observation.success
    observation = real.step(np.array([1.0, 0, 0, 0, 0, 0, 1], np.float32))
    assert observation.success and observation.qpos[0] == 1.25


def test_pictures_come_in_order_of_views(real):
    real.open("libero_goal", "stove", camera_size=4, seed=7)
    images = real.reset(np.zeros(4)).images
    assert images.shape == (2, 4, 4, 3) and images.dtype == np.uint8
    assert images[0].max() == 0 and images[1].min() == 1
    real.open("libero_goal", "stove", camera_size=4, seed=7, every_step=False)
    assert real.reset(np.zeros(4)).images is None
    np.testing.assert_array_equal(real.render(), images)


def test_touching_bodies_come_in_sorted_pairs(real):
    real.open("libero_goal", "stove", camera_size=0, seed=7)
    real.seed(8)
    assert real.contacts() == [("robot0_link5", "stove_main")]
    assert real.cpu_seconds() > 0


def test_an_error_is_one_line_and_harmless(real):
    with pytest.raises(
        ChildProcessError, match=r"'open': FileNotFoundError: .*missing"
    ):
        real.open("libero_goal", "missing", camera_size=0, seed=7)
    real.open("libero_goal", "stove", camera_size=0, seed=7)
    assert real.reset(np.zeros(4)).qpos.shape == (2,)


def test_a_process_that_ends_is_named(real):
    real.open("libero_goal", "stove", camera_size=0, seed=7)
    real.reset(np.zeros(4))
    with pytest.raises(ChildProcessError, match="process ended: out of memory"):
        real.step([9.0, 0, 0, 0, 0, 0, 0])


def test_a_killed_process_is_no_hang(real):
    real.kill()
    with pytest.raises(ChildProcessError, match="process ended: without a word"):
        real.reset(np.zeros(4))


def test_a_missing_interpreter_is_named(tmp_path):
    with pytest.raises(ValueError, match="make libero-env"):
        RealLibero(tmp_path / "python")
