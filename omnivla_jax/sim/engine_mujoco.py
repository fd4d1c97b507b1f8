"""C MuJoCo as a physics engine: one batched host call per control step.

The call runs inside any jitted scan through `jax.pure_callback`. Every environment
carries its own fixture poses, written into per-simulation model fields.
Axes: B environments, N bodies, F fixtures, P watched contact pairs.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import mujoco.batch
import numpy as np

from omnivla_jax.sim import control, panda, rotation
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import Physics

_VELOCITY_STAGE = mujoco.mjtStage.mjSTAGE_VEL.value
_ARM = slice(0, panda.NUM_JOINTS)


def control_step(
    scene: Scene, physics: Physics, action: jax.Array, active: jax.Array
) -> Physics:
    """Advance by one control step of 50 ms, controller and substeps included.

    Args:
      scene: the static tables.
      physics: the batch's state.
      action: float32 [B, 7] in [-1, 1].
      active: bool [B]; the others are left as they are.
    """
    return _call(scene, physics, action, active, scene.preset.substeps)


def forward(scene: Scene, physics: Physics) -> Physics:
    """Recompute body poses and contacts from `qpos`, without stepping."""
    batch = physics.qpos.shape[0]
    action, active = jnp.zeros((batch, 7)), jnp.ones(batch, bool)
    return _call(scene, physics, action, active, 0)


def _call(
    scene: Scene,
    physics: Physics,
    action: jax.Array,
    active: jax.Array,
    substeps: int,
) -> Physics:
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), physics)
    host = functools.partial(_advance, scene, substeps)
    return jax.pure_callback(host, shapes, physics, action, active)


class _Pool(NamedTuple):
    """One batch of C simulations and live views of its fields."""

    batch: mujoco.batch.Batch
    fixture_ids: np.ndarray
    body_pos: np.ndarray
    body_quat: np.ndarray


@functools.lru_cache(maxsize=8)
def _pool(scene: Scene, size: int) -> _Pool:
    batch = mujoco.batch.Batch(scene.watched_model, size, persistent=True)
    for field in ("xpos", "xquat", "xanchor", "xaxis", "qfrc_bias", "M", "sensordata"):
        batch.bind(field)
    ids = [scene.bodies[name] for name in scene.posed]
    return _Pool(
        batch, np.array(ids), batch.expand("body_pos"), batch.expand("body_quat")
    )


def _advance(
    scene: Scene, substeps: int, physics: Physics, action: jax.Array, active: jax.Array
) -> Physics:
    physics = jax.tree.map(np.asarray, physics)
    commands, running = np.asarray(action), np.asarray(active)
    pool = _pool(scene, physics.qpos.shape[0])
    _load(pool, physics)
    ids = np.flatnonzero(running)
    if substeps == 0:
        pool.batch.forward(ids)  # all stages: the contact sensors need the last
        return _read(scene, pool, physics, {}, running)
    pool.batch.forward(ids, stage=_VELOCITY_STAGE)
    commanded = _run_substeps(scene, pool, physics, commands, ids, substeps)
    return _read(scene, pool, physics, commanded, running)


def _load(pool: _Pool, physics: Physics) -> None:
    pool.batch.bind("qpos")[:] = physics.qpos
    pool.batch.bind("qvel")[:] = physics.qvel
    pool.batch.bind("qacc_warmstart")[:] = physics.warmstart
    pool.body_pos[:, pool.fixture_ids] = physics.fixture_pos
    pool.body_quat[:, pool.fixture_ids] = physics.fixture_quat


def _run_substeps(
    scene: Scene,
    pool: _Pool,
    physics: Physics,
    action: np.ndarray,
    ids: np.ndarray,
    substeps: int,
) -> dict[str, Any]:
    """Controller and integrator, alternating; returns the controller's new state."""
    clipped = np.clip(action.astype(np.float64), -1.0, 1.0)
    arm = _read_arm(scene, pool)
    held = control.PoseGoal(
        physics.goal_pos.astype(np.float64), physics.goal_mat.astype(np.float64)
    )
    goal = control.set_goal(clipped, arm, held, physics.fresh, np)
    closing = physics.gripper.astype(np.float64)
    ctrl = pool.batch.bind("ctrl")
    refresh = control.refresh_substeps(scene.preset.timestep, substeps)
    for substep in range(substeps):
        if substep:
            arm = _read_arm(scene, pool)
        if substep % refresh == 0:
            terms = control.dynamics(_arm_mass(scene, pool), arm.jacobian, np)
        torque = control.torque(terms, arm, goal, np)
        if substep == 0:  # LIBERO's controller sleeps through its first update
            torque = np.where(physics.fresh[:, None], arm.bias, torque)
        closing = control.ramp_gripper(closing, clipped[:, 6], substeps, np)
        ctrl[:, _ARM] = torque
        ctrl[:, panda.NUM_JOINTS :] = control.finger_targets(closing, np)
        pool.batch.step(ids, stage=_VELOCITY_STAGE)
    return {
        "goal_pos": goal.position,
        "goal_mat": goal.orientation,
        "gripper": closing,
        "fresh": np.zeros_like(physics.fresh),
    }


def _read_arm(scene: Scene, pool: _Pool) -> control.Arm:
    batch, hand = pool.batch, scene.bodies[panda.EEF_BODY]
    position = batch.bind("xpos")[:, hand]
    anchors = batch.bind("xanchor")[:, _ARM]
    axes = batch.bind("xaxis")[:, _ARM]
    return control.Arm(
        position=position.copy(),
        orientation=rotation.matrix(batch.bind("xquat")[:, hand], np),
        jacobian=control.jacobian(anchors, axes, position, np),
        joints=batch.bind("qpos")[:, _ARM],
        velocity=batch.bind("qvel")[:, _ARM],
        bias=batch.bind("qfrc_bias")[:, _ARM].copy(),
    )


def _arm_mass(scene: Scene, pool: _Pool) -> np.ndarray:
    """The arm's block of the inertia matrix, from the sparse rows of its chain."""
    model, rows = scene.watched_model, pool.batch.bind("M")
    mass = np.empty((rows.shape[0], panda.NUM_JOINTS, panda.NUM_JOINTS))
    for i in range(panda.NUM_JOINTS):  # row i holds the lower triangle, columns 0..i
        start = model.M_rowadr[i]
        mass[:, i, : i + 1] = mass[:, : i + 1, i] = rows[:, start : start + i + 1]
    return mass


def _read(
    scene: Scene,
    pool: _Pool,
    before: Physics,
    commanded: dict[str, Any],
    running: np.ndarray,
) -> Physics:
    """The state after the step; environments that do not run keep theirs."""
    batch = pool.batch
    pairs = len(scene.contact_pairs)
    after = dataclasses.replace(
        before,
        qpos=batch.bind("qpos"),
        qvel=batch.bind("qvel"),
        warmstart=batch.bind("qacc_warmstart"),
        xpos=batch.bind("xpos"),
        xquat=batch.bind("xquat"),
        touching=batch.bind("sensordata")[:, :pairs] > 0,
        **commanded,
    )

    def select(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        keep = running.reshape((-1,) + (1,) * (old.ndim - 1))
        return np.where(keep, new, old).astype(old.dtype)

    return jax.tree.map(select, after, before)
