"""Tests of the real LIBERO over a pipe, against a small stand-in for the package."""

import sys
import textwrap

import numpy as np
import pytest

from experiments.real_libero.remote import RealLibero

# What `worker.py` uses of the package `libero`: the second fixture stands at 2.
STAND_IN = """
import types
import numpy as np


class ControlEnv:
    def __init__(self, bddl_file_name, use_camera_obs, camera_heights, **options):
        if "missing" in bddl_file_name:
            raise FileNotFoundError(bddl_file_name)
        self.size = camera_heights if use_camera_obs else 0
        model = types.SimpleNamespace(
            body_pos=np.arange(9.0).reshape(3, 3),
            body_quat=np.tile([1.0, 0.0, 0.0, 0.0], (3, 1)),
            body_name2id={"stove_main": 2}.get,
        )
        self.data = types.SimpleNamespace(qpos=np.zeros(2), qvel=np.zeros(1))
        self.sim = types.SimpleNamespace(model=model, data=self.data)
        fixture = types.SimpleNamespace(root_body="stove_main")
        self.env = types.SimpleNamespace(fixtures_dict={"stove": fixture})

    def seed(self, seed):
        self.start = seed

    def reset(self):
        self.data.qpos[:] = -1.0

    def set_init_state(self, state):
        self.data.qpos[:], self.data.qvel[:] = state[1:3], state[3:]
        return self.observe()

    def step(self, action):
        if action[0] == 9.0:
            raise SystemExit("out of memory")
        self.data.qpos += action[:2]
        return self.observe(), 0.0, self.data.qpos[0] > 1.0, {}

    def observe(self):
        names = ("agentview_image", "robot0_eye_in_hand_image")
        shape = (self.size, self.size, 3)
        images = {name: np.full(shape, k, np.uint8) for k, name in enumerate(names)}
        return images | {
            "robot0_eef_pos": np.ones(3),
            "robot0_eef_quat": np.array([0.0, 0.0, 0.0, 1.0]),
            "robot0_gripper_qpos": np.array([0.04, -0.04]),
        }

    def close(self):
        pass
"""


@pytest.fixture
def real(tmp_path, monkeypatch):
    package = tmp_path / "libero" / "libero"
    (package / "envs").mkdir(parents=True)
    for folder in (package.parent, package, package / "envs"):
        (folder / "__init__.py").touch()
    (package / "__init__.py").write_text(textwrap.dedent("""
            import os
            def get_libero_path(name):
                with open(os.environ["LIBERO_CONFIG_PATH"] + "/config.yaml") as file:
                    return dict(line.strip().split(": ") for line in file)[name]
            """))
    (package / "envs" / "env_wrapper.py").write_text(STAND_IN)
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


def test_an_error_is_one_line_and_harmless(real):
    with pytest.raises(RuntimeError, match=r"'open': FileNotFoundError: .*missing"):
        real.open("libero_goal", "missing", camera_size=0, seed=7)
    real.open("libero_goal", "stove", camera_size=0, seed=7)
    assert real.reset(np.zeros(4)).qpos.shape == (2,)


def test_a_process_that_ends_is_named(real):
    real.open("libero_goal", "stove", camera_size=0, seed=7)
    real.reset(np.zeros(4))
    with pytest.raises(RuntimeError, match="process ended: out of memory"):
        real.step([9.0, 0, 0, 0, 0, 0, 0])


def test_a_missing_interpreter_is_named(tmp_path):
    with pytest.raises(ValueError, match="make libero-env"):
        RealLibero(tmp_path / "python")
