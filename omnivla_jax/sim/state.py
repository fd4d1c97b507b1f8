"""The static tables of a scene, and the state of a batch of environments in it.

A state is a value that can be copied, indexed and saved.
Axes: B environments, N bodies, F bodies whose pose is data (fixtures, robot base,
camera, tables), P watched contact pairs.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct

from omnivla_jax.core.types import PyTree
from omnivla_jax.sim.assets.category import Region
from omnivla_jax.sim.assets.integrator_presets import IntegratorPreset
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.libero.task_types import Goal, SceneAssets, Suite, Task


class Site(NamedTuple):
    """A goal region of an instance: the body it rides on, its joint and its box."""

    instance: str
    body: int
    joint: str  # "" where the body does not move
    region: Region


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Static tables, hashed by identity so that programs close over them."""

    name: str
    suite: Suite
    task_ids: tuple[int, ...]  # the rows of the suite's tasks that this scene holds
    assets: SceneAssets
    preset: IntegratorPreset
    engine: str  # a key of `engines.registry.ENGINES`
    # What the engine compiled and steps; its bodies and joints, their order and their
    # inertia are the same for all engines.
    model: mujoco.MjModel
    visual_model: mujoco.MjModel  # the same bodies with their looks
    bodies: dict[str, int]
    joints: dict[str, tuple[int, int]]  # name -> (qpos address, dof address)
    sites: dict[str, Site]  # "{instance}_{region}"
    posed_bodies: tuple[str, ...]  # whose pose is data: fixtures, base, camera, tables
    home_offset: np.ndarray  # [3] from the robot's base to the grip site at home
    home_mat: np.ndarray  # [3, 3]
    contact_pairs: tuple[tuple[str, str], ...]  # watched root bodies, by name
    extras: tuple[str, ...] = ()  # objects of no task, parked unless a layout has them

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks of the suite, in LIBERO's order; see `task_ids`."""
        return self.suite.tasks


@struct.dataclass
class PhysicsState:
    """What an engine takes and gives back; everything a control step changes."""

    qpos: jax.Array  # float32 [B, nq]
    qvel: jax.Array  # float32 [B, nv]
    warmstart: jax.Array  # float32 [B, nv]: the solver's last acceleration
    fixture_pos: jax.Array  # float32 [B, F, 3]
    fixture_quat: jax.Array  # float32 [B, F, 4] wxyz
    goal_pos: jax.Array  # float32 [B, 3]: the controller's goal
    goal_mat: jax.Array  # float32 [B, 3, 3]
    gripper: jax.Array  # float32 [B]: commanded closing, -1 open to 1 closed
    fresh: jax.Array  # bool [B]: no control step since reset or restore
    xpos: jax.Array  # float32 [B, N, 3]: body origins, one substep behind qpos
    xquat: jax.Array  # float32 [B, N, 4] wxyz
    touching: jax.Array  # bool [B, P]
    # int32 [B]: contacts without room in MJX, or how often C MuJoCo had no memory for
    # one, summed over all substeps since reset
    overflow: jax.Array


@struct.dataclass
class EnvState:
    """One batch of episodes."""

    physics: PhysicsState
    task: jax.Array  # int32 [B]
    steps: jax.Array  # int32 [B]: control steps since the policy took over
    success: jax.Array  # bool [B]: the goal held at some control step
    # bool [B]: frozen, as a number is unusable or an object found no place; see `env`
    diverged: jax.Array
    placement_failures: jax.Array  # int32 [B]: objects that found no place at reset
    # What an episode's pictures, words and start have of their own, leaves [B, ...];
    # carried along, see `world.perturbations`. None: nothing.
    perturbation: PyTree = None

    @property
    def frozen(self) -> jax.Array:
        """bool [B]: environments that no action changes any more."""
        return self.success | self.diverged


def choose(mask: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """The environments of `new` where `mask` says so, and those of `old` elsewhere.

    Args:
      mask: bool [B].
      new, old: trees of the same arrays [B, ...].

    Returns:
      A tree of the same arrays.
    """
    chex.assert_rank(mask, 1)
    return jax.tree.map(
        lambda a, b: jnp.where(mask.reshape((-1,) + (1,) * (b.ndim - 1)), a, b),
        new,
        old,
    )


def goal_body(scene: Scene, goal: Goal) -> int:
    """The body that a goal is about: the object, or the part that is to move."""
    if goal.subject in scene.sites:
        return scene.sites[goal.subject].body
    if goal.subject in scene.assets.fixtures:
        return scene.bodies[goal_joints(scene, goal)[0]]
    return scene.bodies[goal.subject]


def goal_joints(scene: Scene, goal: Goal) -> tuple[str, ...]:
    """The joints that Open, Close, Turnon and Turnoff ask about."""
    if goal.subject in scene.sites:
        return (scene.sites[goal.subject].joint,)
    category = scene.assets.fixtures[goal.subject]
    parts = CATEGORIES[category].parts
    return tuple(f"{goal.subject}_{part.name}" for part in parts if part.joint)
