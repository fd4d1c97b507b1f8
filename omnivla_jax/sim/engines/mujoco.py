"""C MuJoCo as a physics engine: one batched host call per control step.

Every environment carries its own fixture poses, written into per-simulation model
fields. Arrays of the controller keep the batch innermost in memory, see `osc`.
What MuJoCo warns of as unstable comes back as a `qpos` of NaN, which is divergence.
Axes: B environments, N bodies, F bodies whose pose is data, P watched contact pairs.
"""

import contextlib
import copy
import dataclasses
import functools
import hashlib
import threading
from typing import Any, Iterator, NamedTuple

import jax
import mujoco
import mujoco.batch
import numpy as np

from omnivla_jax.core.host_call import host_call
from omnivla_jax.sim import osc
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.engines import mujoco_warnings
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import PhysicsState

_NO_STAGE = mujoco.mjtStage.mjSTAGE_NONE.value
_VELOCITY_STAGE = mujoco.mjtStage.mjSTAGE_VEL.value
_OUTPUTS = ("xpos", "xquat", "xmat", "xanchor", "xaxis", "qfrc_bias", "M", "sensordata")
_ARM = slice(0, panda.NUM_JOINTS)
_FINGERS = slice(panda.NUM_JOINTS, panda.NUM_JOINTS + 2)


def control_step(
    scene: Scene,
    physics: PhysicsState,
    task: jax.Array,
    action: jax.Array,
    active: jax.Array,
) -> PhysicsState:
    """Advance by one control step of 50 ms, controller and substeps included.

    Args:
      scene: the static tables.
      physics: the batch's state.
      task: int32 [B]; here all of the scene is stepped, whatever the task.
      action: float32 [B, 7] in [-1, 1].
      active: bool [B]; the others are left as they are.
    """
    del task
    host = functools.partial(_advance, scene)
    name = f"mujoco.control_step {_digest(scene)}"
    return host_call(name, host, _shapes(physics), physics, action, active)


def forward(scene: Scene, physics: PhysicsState, task: jax.Array) -> PhysicsState:
    """Recompute body poses and contacts from `qpos`, without stepping."""
    del task
    host = functools.partial(_look, scene)
    name = f"mujoco.forward {_digest(scene)}"
    return host_call(name, host, _shapes(physics), physics)


def single(
    scene: Scene, model: mujoco.MjModel, physics: PhysicsState, row: int
) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """One environment of a batch as C MuJoCo's own, at rest; nothing is computed yet.

    Args:
      scene: the static tables.
      model: one of the scene's; it is copied.
      physics: the batch's state.
      row: which environment.
    """
    mujoco_warnings.install()
    model = copy.copy(model)
    bodies = [scene.bodies[name] for name in scene.posed]
    model.body_pos[bodies] = physics.fixture_pos[row]
    model.body_quat[bodies] = physics.fixture_quat[row]
    data = mujoco.MjData(model)
    data.qpos[:] = physics.qpos[row]
    return model, data


def _shapes(physics: PhysicsState) -> PhysicsState:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), physics)


@functools.cache
def _digest(scene: Scene) -> str:
    """What tells this scene's physics from any other's, in every process."""
    model = scene.watched_model
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    tables = repr((scene.preset, scene.posed, scene.contact_pairs)).encode()
    return hashlib.sha256(buffer.tobytes() + tables).hexdigest()[:16]


class _Pool(NamedTuple):
    """A batch of B simulations and live views of its fields, for one call at a time."""

    lock: threading.Lock
    batch: mujoco.batch.Batch
    fields: dict[str, np.ndarray]
    posed: np.ndarray  # [F] body ids
    body_pos: np.ndarray  # [B, N, 3]
    body_quat: np.ndarray  # [B, N, 4]
    failed: np.ndarray  # bool [B]: MuJoCo raised an error


@functools.lru_cache(maxsize=8)
def _pool(scene: Scene, size: int) -> _Pool:
    mujoco_warnings.install()
    batch = mujoco.batch.Batch(scene.watched_model, size, persistent=True)
    names = ("qpos", "qvel", "qacc_warmstart", "ctrl", *_OUTPUTS)
    return _Pool(
        threading.Lock(),
        batch,
        {name: batch.bind(name) for name in names},
        np.array([scene.bodies[name] for name in scene.posed]),
        batch.expand("body_pos"),
        batch.expand("body_quat"),
        np.zeros(size, bool),
    )


def _look(scene: Scene, physics: PhysicsState) -> PhysicsState:
    pool = _pool(scene, physics.qpos.shape[0])
    with pool.lock:
        _load(pool, physics)
        with _errors_kept(pool):  # all stages: the contact sensors need the last
            pool.batch.forward()
        return _read(scene, pool, physics, {}, None)


def _advance(
    scene: Scene, physics: PhysicsState, action: np.ndarray, active: np.ndarray
) -> PhysicsState:
    pool = _pool(scene, physics.qpos.shape[0])
    ids = None if active.all() else np.flatnonzero(active)
    with pool.lock:
        _load(pool, physics)
        with _errors_kept(pool):
            pool.batch.forward(ids, stage=_VELOCITY_STAGE)
        commanded = _run_substeps(scene, pool, physics, action, ids)
        return _read(scene, pool, physics, commanded, None if ids is None else active)


def _load(pool: _Pool, physics: PhysicsState) -> None:
    pool.fields["qpos"][:] = physics.qpos
    pool.fields["qvel"][:] = physics.qvel
    pool.fields["qacc_warmstart"][:] = physics.warmstart
    pool.fields["ctrl"][:] = 0.0  # nothing of an earlier call, such as a NaN, is left
    pool.body_pos[:, pool.posed] = physics.fixture_pos
    pool.body_quat[:, pool.posed] = physics.fixture_quat
    pool.batch.warning[:] = 0
    pool.failed[:] = False


@contextlib.contextmanager
def _errors_kept(pool: _Pool) -> Iterator[None]:
    """Notes in which simulations MuJoCo raised an error; the others have run."""
    try:
        yield
    except mujoco.batch.SimulationError as error:
        pool.failed[error.ids] = True
        mujoco_warnings.tell(str(error))


def _run_substeps(
    scene: Scene,
    pool: _Pool,
    physics: PhysicsState,
    action: np.ndarray,
    ids: np.ndarray | None,
) -> dict[str, Any]:
    """Controller and integrator, alternating; returns the controller's new state."""
    substeps = scene.preset.substeps
    clipped = np.clip(action.astype(np.float64), -1.0, 1.0)
    arm = _read_arm(scene, pool)
    held = osc.PoseGoal(
        *(_inner_batch(np.asarray(x)) for x in (physics.goal_pos, physics.goal_mat))
    )
    goal = osc.set_goal(clipped, arm, held, physics.fresh, np)
    closing = physics.gripper.astype(np.float64)
    ctrl = pool.fields["ctrl"]
    for substep in range(substeps):
        if substep:
            arm = _read_arm(scene, pool)
        if substep % scene.preset.refresh == 0:
            terms = osc.dynamics(_arm_mass(scene, pool), arm.jacobian, np)
        torque = osc.torque(terms, arm, goal, np)
        if substep == 0:  # LIBERO's controller sleeps through its first update
            torque = np.where(physics.fresh[:, None], arm.bias, torque)
        closing = osc.ramp_gripper(closing, clipped[:, 6], substeps, np)
        ctrl[:, _ARM] = torque
        ctrl[:, _FINGERS] = osc.finger_targets(closing, np)
        # The last substep leaves poses and contacts as they were before it: so does
        # LIBERO, whose observations and predicates are one substep behind.
        goes_on = substep < substeps - 1
        with _errors_kept(pool):
            pool.batch.step(ids, stage=_VELOCITY_STAGE if goes_on else _NO_STAGE)
    return {
        "goal_pos": goal.position,
        "goal_mat": goal.orientation,
        "gripper": closing,
        "fresh": np.zeros_like(physics.fresh),
    }


def _inner_batch(rows: np.ndarray) -> np.ndarray:
    """A float64 copy of `rows` [B, ...] with the batch innermost in memory."""
    return np.array(rows.T, np.float64, order="C").T


def _read_arm(scene: Scene, pool: _Pool) -> osc.Arm:
    fields, hand = pool.fields, scene.bodies[panda.EEF_BODY]
    position = _inner_batch(fields["xpos"][:, hand])
    anchors, axes = fields["xanchor"][:, _ARM], fields["xaxis"][:, _ARM]
    return osc.Arm(
        position=position,
        orientation=_inner_batch(fields["xmat"][:, hand].reshape(-1, 3, 3)),
        jacobian=osc.jacobian(
            _inner_batch(anchors), _inner_batch(axes), position, np
        ),
        joints=_inner_batch(fields["qpos"][:, _ARM]),
        velocity=_inner_batch(fields["qvel"][:, _ARM]),
        bias=_inner_batch(fields["qfrc_bias"][:, _ARM]),
    )


def _arm_mass(scene: Scene, pool: _Pool) -> np.ndarray:
    """The arm's block [B, 7, 7] of the inertia matrix, from its sparse rows."""
    starts, rows = scene.watched_model.M_rowadr, pool.fields["M"].T
    mass = np.empty((panda.NUM_JOINTS, panda.NUM_JOINTS, rows.shape[1]))
    for i in range(panda.NUM_JOINTS):  # row i holds the lower triangle, columns 0..i
        mass[i, : i + 1] = mass[: i + 1, i] = rows[starts[i] : starts[i] + i + 1]
    return mass.T


def _read(
    scene: Scene,
    pool: _Pool,
    before: PhysicsState,
    commanded: dict[str, Any],
    active: np.ndarray | None,
) -> PhysicsState:
    """The state after the step; environments that are not `active` keep theirs."""
    fields, pairs = pool.fields, len(scene.contact_pairs)
    warned = pool.batch.warning
    lost = pool.failed | mujoco_warnings.unstable(warned)
    qpos = fields["qpos"]
    found: dict[str, Any] = {
        "qpos": np.where(lost[:, None], np.nan, qpos) if lost.any() else qpos,
        "qvel": fields["qvel"],
        "warmstart": fields["qacc_warmstart"],
        "xpos": fields["xpos"],
        "xquat": fields["xquat"],
        "touching": fields["sensordata"][:, :pairs] > 0,
        "overflow": before.overflow + mujoco_warnings.overflow(warned),
    }
    after = dataclasses.replace(before, **found, **commanded)

    def select(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        if active is None:  # a copy: the next call overwrites the pool's fields
            return new.astype(old.dtype)
        keep = active.reshape((-1,) + (1,) * (old.ndim - 1))
        return np.where(keep, new, old).astype(old.dtype)

    return jax.tree.map(select, after, before)
