"""Builds a suite's scene: MuJoCo models and the tables that name their rows.

One scene serves all tasks of a suite; fixture poses and the task are data.
"""

import dataclasses
from typing import NamedTuple

import jax
import mujoco
import numpy as np

from omnivla_jax.sim import panda
from omnivla_jax.sim.arenas import ARENAS, Arena
from omnivla_jax.sim.assembly import PRESETS, Preset, compile_model, contact_pairs
from omnivla_jax.sim.objects import FIXTURES, Region
from omnivla_jax.sim.tasks import Suite, Task, suite


class Site(NamedTuple):
    """A goal region: the body it rides on and its box."""

    body: int
    region: Region
    fixture: str  # "" for a table region


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Static tables of one suite, hashed by identity so that programs close over it."""

    name: str
    suite: Suite
    arena: Arena
    preset: Preset
    engine: str  # "mjx" or "mujoco"
    model: mujoco.MjModel  # collision geoms only: what MJX steps
    watched_model: mujoco.MjModel  # the same with contact sensors: what C MuJoCo steps
    visual_model: mujoco.MjModel  # the same bodies with their looks
    bodies: dict[str, int]
    joints: dict[str, tuple[int, int]]  # name -> (qpos address, dof address)
    sites: dict[str, Site]
    home_pos: np.ndarray  # [3] of the grip site at the nominal arm pose
    home_mat: np.ndarray  # [3, 3]
    contact_pairs: tuple[tuple[str, str], ...]  # watched root bodies, by name

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The suite's tasks, in LIBERO's order."""
        return self.suite.tasks

    @property
    def num_tasks(self) -> int:
        """How many tasks share this scene."""
        return len(self.suite.tasks)


def make(name: str, *, physics: str = "auto", preset: str = "fast") -> Scene:
    """Build the scene of suite `name`.

    Args:
      name: a suite, such as `libero_goal`.
      physics: `mjx`, `mujoco`, or `auto` (C MuJoCo on a CPU, MJX elsewhere).
      preset: `original`, `faithful` or `fast`.

    Raises:
      ValueError: naming the unknown suite, engine or preset and the known ones.
    """
    if preset not in PRESETS:
        raise ValueError(f"Unknown preset {preset!r}: choose one of {sorted(PRESETS)}.")
    table = suite(name)
    model = compile_model(table, PRESETS[preset])
    home_pos, home_mat = _home_pose(model)
    return Scene(
        name=name,
        suite=table,
        arena=ARENAS[table.arena],
        preset=PRESETS[preset],
        engine=_choose_engine(physics),
        model=model,
        watched_model=compile_model(table, PRESETS[preset], watched=True),
        visual_model=compile_model(table, PRESETS[preset], visual=True),
        bodies={model.body(i).name: i for i in range(model.nbody)},
        joints=_joint_addresses(model),
        sites=_sites(table, model),
        home_pos=home_pos,
        home_mat=home_mat,
        contact_pairs=contact_pairs(table),
    )


def _choose_engine(physics: str) -> str:
    if physics == "auto":
        return "mujoco" if jax.default_backend() == "cpu" else "mjx"
    if physics not in ("mjx", "mujoco"):
        raise ValueError(f"Unknown physics {physics!r}: choose auto, mjx or mujoco.")
    return physics


def _home_pose(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    data = mujoco.MjData(model)
    data.qpos[: panda.NUM_JOINTS] = panda.HOME
    mujoco.mj_kinematics(model, data)
    hand = data.body(panda.EEF_BODY)
    return hand.xpos.copy(), hand.xmat.reshape(3, 3).copy()


def _joint_addresses(model: mujoco.MjModel) -> dict[str, tuple[int, int]]:
    return {
        model.joint(i).name: (int(model.jnt_qposadr[i]), int(model.jnt_dofadr[i]))
        for i in range(model.njnt)
    }


def _sites(table: Suite, model: mujoco.MjModel) -> dict[str, Site]:
    sites = {}
    for placement in table.fixtures:
        name = placement.name
        for part in (FIXTURES[name].base, *FIXTURES[name].parts):
            body = name if part.name == name else f"{name}/{part.name}"
            for region_name, region in part.regions.items():
                site = Site(model.body(body).id, region, name)
                sites[f"{name}/{region_name}"] = site
    z = ARENAS[table.arena].region_z
    for region_name, ((x, y), (half_x, half_y)) in table.table_regions.items():
        sites[region_name] = Site(0, Region((x, y, z), (half_x, half_y, 0.007)), "")
    return sites
