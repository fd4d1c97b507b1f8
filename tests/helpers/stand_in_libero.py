"""A small stand-in for the package `libero`, with what `real_libero.worker` uses."""

from pathlib import Path

import numpy as np

from omnivla_jax.sim.libero import state_files

PATHS = """
import os

def get_libero_path(name):
    with open(os.environ["LIBERO_CONFIG_PATH"] + "/config.yaml") as file:
        return dict(line.strip().split(": ") for line in file)[name]
"""
# Two positions, one velocity, a fixture that stands at 6, 7, 8. An action moves the
# positions; success is the first one beyond 1.
ENVIRONMENT = """
import types
import numpy as np


class ControlEnv:
    def __init__(self, bddl_file_name, use_camera_obs, camera_heights, **options):
        if "missing" in bddl_file_name:
            raise FileNotFoundError(bddl_file_name)
        self.size = camera_heights if use_camera_obs else 0
        shades = {"agentview": 0, "robot0_eye_in_hand": 1}
        model = types.SimpleNamespace(
            body_pos=np.arange(9.0).reshape(3, 3),
            body_quat=np.tile([1.0, 0.0, 0.0, 0.0], (3, 1)),
            body_name2id={"stove_main": 2}.get,
            body_id2name=["world", "robot0_link5", "stove_main"].__getitem__,
            geom_bodyid=np.array([0, 2, 1]),
        )
        touching = types.SimpleNamespace(geom1=1, geom2=2)
        self.data = types.SimpleNamespace(
            qpos=np.zeros(2), qvel=np.zeros(1), contact=[touching] * 3, ncon=2
        )
        self.sim = types.SimpleNamespace(
            model=model,
            data=self.data,
            render=lambda camera_name, width, height: np.full(
                (height, width, 3), shades[camera_name], np.uint8
            ),
        )
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


def write(folder: Path) -> Path:
    """Write the package into `folder`, which goes into PYTHONPATH; its data folder."""
    package = folder / "libero" / "libero"
    (package / "envs").mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(PATHS)
    (package / "envs" / "__init__.py").touch()
    (package / "envs" / "env_wrapper.py").write_text(ENVIRONMENT)
    return package


def write_states(package: Path, file: str, states: np.ndarray) -> None:
    """Write recorded initial states [N, 4] of the task `file`, as SUITE/NAME."""
    path = package / "init_files" / f"{file}.pruned_init"
    path.parent.mkdir(parents=True, exist_ok=True)
    state_files.write(path, states)
