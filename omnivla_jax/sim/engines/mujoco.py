"""C MuJoCo as a physics engine: one batched host call per control step.

Every environment carries its own fixture poses, written into per-simulation model
fields. Arrays of the controller keep the batch innermost in memory, see `osc`.
Simulations that MuJoCo warns of as unstable get a `qpos` of NaN, which is divergence.
Axes: B environments, N bodies, F bodies whose pose is data, P watched contact pairs.
"""

import contextlib
import copy
import dataclasses
import functools
import hashlib
import threading
from typing import Any, Callable, Iterator, NamedTuple

import jax
import mujoco
import mujoco.batch
import numpy as np

from omnivla_jax.core.host_call import host_call
from omnivla_jax.sim import mjcf, osc, rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.integrator_presets import IntegratorPreset
from omnivla_jax.sim.engines import mujoco_warnings
from omnivla_jax.sim.engines.base import (
    ContactPairs,
    Engine,
    actuate,
    observed_poses,
    start_command,
)
from omnivla_jax.sim.libero.task_types import SceneAssets
from omnivla_jax.sim.state import PhysicsState, Scene

_NO_STAGE = mujoco.mjtStage.mjSTAGE_NONE.value
_VELOCITY_STAGE = mujoco.mjtStage.mjSTAGE_VEL.value
_OUTPUTS = (
    "xpos", "xquat", "xmat", "xanchor", "xaxis", "qfrc_bias", "qfrc_passive", "M",
    "cvel", "subtree_com", "sensordata",
)  # fmt: skip
_ARM = slice(0, panda.NUM_JOINTS)


def compile_model(
    assets: SceneAssets, preset: IntegratorPreset, contact_pairs: ContactPairs
) -> mujoco.MjModel:
    """Compile the model with a contact sensor for each of `contact_pairs`.

    Tables are LIBERO's boxes, and planes in scenes that have no contact to sense.

    Args:
      assets: bodies of the scene.
      preset: time step and solver.
      contact_pairs: names of the root bodies that the sensors watch, P pairs.

    Returns:
      MuJoCo's model.
    """
    return mjcf.compile_model(
        assets, preset, contact_pairs=contact_pairs, plane_tables=not contact_pairs
    )


def control_step(
    scene: Scene,
    physics: PhysicsState,
    task: jax.Array,
    action: jax.Array,
    active: jax.Array,
) -> PhysicsState:
    """Advance by one control step; see `base.Engine`. Steps every body of the scene.

    Args:
      scene: the static tables.
      physics: state of the batch before.
      task: int32 [B], row of each environment's task in the suite; unused.
      action: float32 [B, 7]: LIBERO's OSC_POSE command, clipped to [-1, 1].
      active: bool [B].

    Returns:
      The state after 50 ms; environments that are not active keep theirs.
    """
    del task
    return _call(scene, "control_step", _control_step, physics, action, active)


def forward(scene: Scene, physics: PhysicsState, task: jax.Array) -> PhysicsState:
    """Recompute body poses and contacts from `qpos`, without stepping.

    Args:
      scene: the static tables.
      physics: state of the batch.
      task: int32 [B], row of each environment's task in the suite; unused.

    Returns:
      The state with `xpos`, `xquat` and `touching` recomputed.
    """
    del task
    return _call(scene, "forward", _forward, physics)


ENGINE = Engine("mujoco", compile_model, control_step, forward, supports_fusion=True)


def single(
    scene: Scene, model: mujoco.MjModel, physics: PhysicsState, row: int
) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """Return environment `row` as C MuJoCo's model and data, at rest, nothing computed.

    Args:
      scene: the static tables.
      model: one with the scene's bodies and joints; it is copied.
      physics: the batch's state.
      row: index of the environment in the batch.

    Returns:
      The model with the environment's fixture poses, and its data with its `qpos`.
    """
    mujoco_warnings.install()
    model = copy.copy(model)
    bodies = [scene.bodies[name] for name in scene.posed_bodies]
    model.body_pos[bodies] = physics.fixture_pos[row]
    model.body_quat[bodies] = physics.fixture_quat[row]
    data = mujoco.MjData(model)
    data.qpos[:] = physics.qpos[row]
    return model, data


def _call(
    scene: Scene,
    name: str,
    callback: Callable[..., PhysicsState],
    physics: PhysicsState,
    *values: jax.Array,
) -> PhysicsState:
    """Run `callback(scene, physics, *values)` on the host, within a program."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), physics)
    run = functools.partial(callback, scene)
    return host_call(f"mujoco.{name} {_digest(scene)}", run, shapes, physics, *values)


@functools.cache
def _digest(scene: Scene) -> str:
    """A hash of all that the callbacks read of `scene`, the same in every process."""
    buffer = np.empty(mujoco.mj_sizeModel(scene.model), np.uint8)
    mujoco.mj_saveModel(scene.model, None, buffer)
    tables = repr((scene.preset, scene.posed_bodies, scene.contact_pairs)).encode()
    return hashlib.sha256(buffer.tobytes() + tables).hexdigest()[:16]


class _Pool(NamedTuple):
    """A batch of B simulations and live views of its fields, for one call at a time."""

    lock: threading.Lock
    batch: mujoco.batch.Batch
    fields: dict[str, np.ndarray]
    posed_bodies: np.ndarray  # [F] body ids
    body_pos: np.ndarray  # [B, N, 3]
    body_quat: np.ndarray  # [B, N, 4]
    failed: np.ndarray  # bool [B]: MuJoCo raised an error

    def load(self, physics: PhysicsState) -> None:
        """Copy the state into the simulations and reset their warnings."""
        self.fields["qpos"][:] = physics.qpos
        self.fields["qvel"][:] = physics.qvel
        self.fields["qacc_warmstart"][:] = physics.warmstart
        self.fields["ctrl"][:] = 0.0  # clears a NaN of an earlier call
        self.body_pos[:, self.posed_bodies] = physics.fixture_pos
        self.body_quat[:, self.posed_bodies] = physics.fixture_quat
        self.batch.warning[:] = 0
        self.failed[:] = False

    @contextlib.contextmanager
    def marking_failures(self) -> Iterator[None]:
        """Mark the simulations in which MuJoCo raises an error; the others have run."""
        try:
            yield
        except mujoco.batch.SimulationError as error:
            self.failed[error.ids] = True
            mujoco_warnings.warn_once(str(error))


@functools.lru_cache(maxsize=8)
def _pool(scene: Scene, size: int) -> _Pool:
    mujoco_warnings.install()
    batch = mujoco.batch.Batch(scene.model, size, persistent=True)
    names = ("qpos", "qvel", "qacc_warmstart", "ctrl", *_OUTPUTS)
    return _Pool(
        threading.Lock(),
        batch,
        {name: batch.bind(name) for name in names},
        np.array([scene.bodies[name] for name in scene.posed_bodies]),
        batch.expand("body_pos"),
        batch.expand("body_quat"),
        np.zeros(size, bool),
    )


def _forward(scene: Scene, physics: PhysicsState) -> PhysicsState:
    pool = _pool(scene, physics.qpos.shape[0])
    with pool.lock:
        pool.load(physics)
        with pool.marking_failures():  # all stages: contact sensors need the last
            pool.batch.forward()
        return _read_state(scene, pool, physics, {}, None)


def _control_step(
    scene: Scene, physics: PhysicsState, action: np.ndarray, active: np.ndarray
) -> PhysicsState:
    pool = _pool(scene, physics.qpos.shape[0])
    ids = None if active.all() else np.flatnonzero(active)
    with pool.lock:
        pool.load(physics)
        with pool.marking_failures():
            pool.batch.forward(ids, stage=_VELOCITY_STAGE)
        controller = _run_substeps(scene, pool, physics, action, ids)
        mask = None if ids is None else active
        return _read_state(scene, pool, physics, controller, mask)


def _run_substeps(
    scene: Scene,
    pool: _Pool,
    physics: PhysicsState,
    action: np.ndarray,
    ids: np.ndarray | None,
) -> dict[str, Any]:
    """Alternate controller and integrator; return the controller's new fields."""
    preset = scene.preset
    action = np.clip(action.astype(np.float64), -1.0, 1.0).T
    arm = _read_arm(scene, pool)
    previous = osc.PoseGoal(
        *(_batch_last(np.asarray(x)) for x in (physics.goal_pos, physics.goal_mat))
    )
    command = start_command(action, arm, previous, physics.fresh, np)
    closing = physics.gripper.astype(np.float64)
    for substep in range(preset.substeps):
        if substep:
            arm = _read_arm(scene, pool)
        if substep % preset.refresh == 0:
            terms = osc.dynamics(_arm_mass(scene, pool), arm.jacobian, np)
        ctrl, closing = actuate(
            command, terms, arm, closing, substep, preset.substeps, np
        )
        pool.fields["ctrl"][:] = ctrl.T
        # The last substep leaves poses and contacts as they were before it: so does
        # LIBERO, whose predicates are one substep behind.
        last = substep == preset.substeps - 1
        with pool.marking_failures():
            pool.batch.step(ids, stage=_NO_STAGE if last else _VELOCITY_STAGE)
    xpos, xquat = _observed_poses(scene, pool)
    return {
        "xpos": xpos,
        "xquat": xquat,
        "goal_pos": command.goal.position.T,
        "goal_mat": np.moveaxis(command.goal.orientation, -1, 0),
        "gripper": closing,
        "fresh": np.zeros_like(physics.fresh),
    }


def _observed_poses(scene: Scene, pool: _Pool) -> tuple[np.ndarray, np.ndarray]:
    """Positions [B, N, 3] and quaternions [B, N, 4] at the end of a control step."""
    fields, roots = pool.fields, scene.model.body_rootid
    angular, linear = fields["cvel"][..., :3], fields["cvel"][..., 3:]
    lever = fields["xpos"] - fields["subtree_com"][:, roots]
    return observed_poses(
        fields["xpos"],
        fields["xquat"],
        linear + rotation.cross(angular, lever, np),
        angular,
        scene.preset.substeps,
        np,
    )


def _batch_last(rows: np.ndarray) -> np.ndarray:
    """A float64 copy [..., B] of `rows` [B, ...]."""
    return np.array(np.moveaxis(rows, 0, -1), np.float64, order="C")


def _read_arm(scene: Scene, pool: _Pool) -> osc.Arm:
    fields, hand = pool.fields, scene.bodies[panda.EEF_BODY]
    position = _batch_last(fields["xpos"][:, hand])
    anchors, axes = (
        _batch_last(fields[name][:, _ARM].swapaxes(1, 2))
        for name in ("xanchor", "xaxis")
    )
    return osc.Arm(
        position=position,
        orientation=_batch_last(fields["xmat"][:, hand].reshape(-1, 3, 3)),
        jacobian=osc.jacobian(anchors, axes, position, np),
        joints=_batch_last(fields["qpos"][:, _ARM]),
        velocity=_batch_last(fields["qvel"][:, _ARM]),
        bias=_batch_last(fields["qfrc_bias"][:, _ARM]),
        passive=_batch_last(fields["qfrc_passive"][:, _ARM]),
    )


def _arm_mass(scene: Scene, pool: _Pool) -> np.ndarray:
    """The arm's block [7, 7, B] of the inertia matrix, from its sparse rows."""
    starts, rows = scene.model.M_rowadr, pool.fields["M"].T
    mass = np.empty((panda.NUM_JOINTS, panda.NUM_JOINTS, rows.shape[1]))
    for i in range(panda.NUM_JOINTS):  # row i holds the lower triangle, columns 0..i
        mass[i, : i + 1] = mass[: i + 1, i] = rows[starts[i] : starts[i] + i + 1]
    return mass


def _read_state(
    scene: Scene,
    pool: _Pool,
    before: PhysicsState,
    controller: dict[str, Any],
    active: np.ndarray | None,
) -> PhysicsState:
    """Return the state after the step; environments not `active` keep `before`."""
    fields, warnings = pool.fields, pool.batch.warning[..., 1]  # how often: [B, kinds]
    unstable = pool.failed | np.any(warnings[:, mujoco_warnings.UNSTABLE] > 0, axis=1)
    qpos = fields["qpos"]
    simulated: dict[str, Any] = {
        "qpos": np.where(unstable[:, None], np.nan, qpos) if unstable.any() else qpos,
        "qvel": fields["qvel"],
        "warmstart": fields["qacc_warmstart"],
        "xpos": fields["xpos"],
        "xquat": fields["xquat"],
        "touching": fields["sensordata"][:, : len(scene.contact_pairs)] > 0,
        "overflow": before.overflow + warnings[:, mujoco_warnings.FULL].sum(axis=1),
    }
    after = dataclasses.replace(before, **(simulated | controller))

    def select(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        if active is None:  # a copy: the next call overwrites the pool's fields
            return new.astype(old.dtype)
        keep = active.reshape((-1,) + (1,) * (old.ndim - 1))
        return np.where(keep, new, old).astype(old.dtype)

    return jax.tree.map(select, after, before)
