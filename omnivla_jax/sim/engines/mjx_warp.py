"""MuJoCo Warp as a physics engine, through MJX: CUDA kernels inside the program.

It steps the model that C MuJoCo steps, with every body of the scene. A substep is two
calls: the robot and the fixtures alone, without constraints, for what the controller
reads, then a step of the whole scene. The room for contacts and constraint rows is
fixed; substeps that exceed it are counted.
Axes: B environments, F bodies whose pose is data, P watched contact pairs; nq and nv
positions and degrees of freedom of the scene, J bodies of the robot and the fixtures.
"""

import copy
import dataclasses
import functools
import importlib.util
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim import mjcf, osc, rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.integrator_presets import IntegratorPreset
from omnivla_jax.sim.engines import mujoco as c_mujoco
from omnivla_jax.sim.engines.base import (
    Command,
    ContactPairs,
    Engine,
    actuate,
    end_control_step,
    observed_poses,
    start_command,
)
from omnivla_jax.sim.engines.mjx import active_bodies, mjx
from omnivla_jax.sim.libero.task_types import SceneAssets
from omnivla_jax.sim.state import PhysicsState, Scene, choose

# Of one environment; a batch shares its environments' contacts. Settled libero_goal
# needs less than half; other suites were not measured.
MAX_CONTACTS, MAX_ROWS = 160, 640
# MuJoCo Warp's bits of `Data.overflow` that mean that a contact or a row had no room.
NO_ROOM = 0b11111  # NEFC, NJMAX_NNZ, BROADPHASE, NARROWPHASE, CCD
_ARM = slice(0, panda.NUM_JOINTS)


class WarpModel(NamedTuple):
    """A scene on the device, for batches of one size."""

    preset: IntegratorPreset
    whole: mjx.Model
    blank: mjx.Data  # of `whole`
    posed: np.ndarray  # int [F]: bodies of `whole` whose pose is data
    jointed: mjx.Model  # robot and fixtures, without contacts and constraints
    jointed_blank: mjx.Data
    jointed_posed: np.ndarray  # int [F]: the same bodies in `jointed`
    positions: np.ndarray  # int: rows of nq that `jointed` has
    velocities: np.ndarray  # int: rows of nv
    hand: int  # body of `jointed` with the grip site
    mass_rows: np.ndarray  # int [7, 7]: where the arm's inertia is in `Data.M`


class _Carry(NamedTuple):
    """What a substep hands to the next."""

    qpos: jax.Array  # [B, nq]
    qvel: jax.Array  # [B, nv]
    warmstart: jax.Array  # [B, nv]
    closing: jax.Array  # [B]
    terms: osc.Dynamics
    xpos: jax.Array  # [B, N, 3]
    xquat: jax.Array  # [B, N, 4]
    touching: jax.Array  # bool [B, P]
    overflow: jax.Array  # int32 [B]


def check_available() -> None:
    """Refuse a machine that cannot run Warp's kernels.

    Raises:
      ImportError: MuJoCo Warp's language is not installed; names the extra.
      ValueError: JAX's default device is no GPU.
    """
    if importlib.util.find_spec("warp") is None:
        raise ImportError(
            "engine='mjx_warp' needs warp-lang: pip install 'omnivla-rl[warp]', or "
            "choose engine='mjx'."
        )
    if jax.default_backend() != "gpu":
        raise ValueError(
            "engine='mjx_warp' needs an NVIDIA GPU, and JAX's default device is "
            f"{jax.default_backend()!r}: choose engine='mjx' or 'mujoco'."
        )


def compile_model(
    assets: SceneAssets, preset: IntegratorPreset, contact_pairs: ContactPairs
) -> mujoco.MjModel:
    """Compile the model of C MuJoCo, with a contact sensor for each of `contact_pairs`.

    Args:
      assets: bodies of the scene.
      preset: time step and solver.
      contact_pairs: names of the root bodies that the sensors watch, P pairs.

    Returns:
      MuJoCo's model.

    Raises:
      ImportError: warp-lang is not installed.
      ValueError: there is no GPU.
    """
    check_available()
    return c_mujoco.compile_model(assets, preset, contact_pairs)


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
    # TensorFloat-32, the default on recent GPUs, makes the physics drift.
    with jax.default_matmul_precision("highest"):
        after = _control_step(scene, physics, jnp.clip(action, -1.0, 1.0))
    return choose(active, after, physics)


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
    model = warp_model(scene, len(physics.qpos))
    data = _over_envs(
        mjx.forward,
        (model.whole, model.blank, model.posed),
        physics,
        qpos=physics.qpos,
        qvel=physics.qvel,
        qacc_warmstart=physics.warmstart,
    )
    touching = data.sensordata[:, : physics.touching.shape[1]] > 0
    return dataclasses.replace(
        physics, xpos=data.xpos, xquat=data.xquat, touching=touching
    )


ENGINE = Engine("mjx_warp", compile_model, control_step, forward, supports_fusion=True)


@functools.lru_cache(maxsize=8)
def warp_model(scene: Scene, batch: int) -> WarpModel:
    """Return the model that all programs of one scene and batch size share.

    Args:
      scene: the static tables.
      batch: B, for which the room for contacts is allocated.

    Returns:
      Models and blank data on the device, and rows between scene and `jointed`.
    """
    # The scene without objects: the same bodies and joints in the same order.
    assets = scene.assets._replace(objects={})
    jointed = copy.copy(mjcf.compile_model(assets, scene.preset, plane_tables=True))
    flags = mujoco.mjtDisableBit
    jointed.opt.disableflags |= int(flags.mjDSBL_CONTACT) | int(flags.mjDSBL_CONSTRAINT)
    rows = active_bodies.active_bodies(scene).jointed
    bodies = rows.bodies.tolist()
    posed = [scene.bodies[name] for name in scene.posed_bodies]
    joints = np.arange(panda.NUM_JOINTS)
    lower, upper = np.minimum.outer(joints, joints), np.maximum.outer(joints, joints)

    room = {"naconmax": batch * MAX_CONTACTS, "njmax": MAX_ROWS}
    # Under a trace these would be tracers, and of its mesh, which must not outlive it
    # in a cache.
    no_mesh = jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))
    with jax.ensure_compile_time_eval(), no_mesh:
        return WarpModel(
            preset=scene.preset,
            whole=_put(scene.model),
            blank=mjx.make_data(scene.model, impl="warp", **room),
            posed=np.array(posed),
            jointed=_put(jointed),
            jointed_blank=mjx.make_data(jointed, impl="warp", naconmax=batch, njmax=1),
            jointed_posed=np.array([bodies.index(body) for body in posed]),
            positions=rows.positions,
            velocities=rows.velocities,
            hand=bodies.index(scene.bodies[panda.EEF_BODY]),
            mass_rows=jointed.M_rowadr[upper] + lower,
        )


def _put(model: mujoco.MjModel) -> mjx.Model:
    """`model` on the device; overflow is counted here and not printed by kernels."""
    model = copy.copy(model)
    # Warp never resets a simulation, and refuses the flag that says so.
    model.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    return mjx.put_model(model, impl="warp").tree_replace(
        {"opt._impl.warn_overflow": 0}
    )


def _over_envs(
    call: Callable[[mjx.Model, mjx.Data], mjx.Data],
    model: tuple[mjx.Model, mjx.Data, np.ndarray],
    physics: PhysicsState,
    **fields: jax.Array,
) -> mjx.Data:
    """`call` of every environment, with its fixtures' poses and `fields` [B, ...]."""
    shared, blank, posed = model

    def run(position: jax.Array, quaternion: jax.Array, values: Any) -> mjx.Data:
        own = shared.replace(
            body_pos=shared.body_pos.at[posed].set(position),
            body_quat=shared.body_quat.at[posed].set(quaternion),
        )
        return call(own, blank.replace(**values))

    return jax.vmap(run)(physics.fixture_pos, physics.fixture_quat, fields)


def _control_step(
    scene: Scene, physics: PhysicsState, action: jax.Array
) -> PhysicsState:
    batch = len(action)
    model = warp_model(scene, batch)
    arm, _ = _read_arm(model, physics, physics.qpos, physics.qvel)
    previous = osc.PoseGoal(physics.goal_pos.T, jnp.moveaxis(physics.goal_mat, 0, -1))
    command = start_command(action.T, arm, previous, physics.fresh, jnp)
    start = _Carry(  # the first substep fills in what is 0 here
        qpos=physics.qpos,
        qvel=physics.qvel,
        warmstart=physics.warmstart,
        closing=physics.gripper,
        terms=osc.Dynamics(*(jnp.zeros((size, size, batch)) for size in (3, 3, 7, 7))),
        xpos=physics.xpos,
        xquat=physics.xquat,
        touching=physics.touching,
        overflow=physics.overflow,
    )
    substep = functools.partial(_substep, model, physics, command)
    end, _ = jax.lax.scan(substep, start, jnp.arange(scene.preset.substeps))
    after = dataclasses.replace(
        physics,
        qpos=end.qpos,
        qvel=end.qvel,
        warmstart=end.warmstart,
        xpos=end.xpos,
        xquat=end.xquat,
    )
    return end_control_step(after, command, end.closing, end.touching, end.overflow)


def _substep(
    model: WarpModel,
    physics: PhysicsState,
    command: Command,
    carry: _Carry,
    index: jax.Array,
) -> tuple[_Carry, None]:
    """Run the controller and one step; a step leaves the poses of before it."""
    arm, mass = _read_arm(model, physics, carry.qpos, carry.qvel)
    preset = model.preset
    terms = jax.lax.cond(
        index % preset.refresh == 0,
        lambda: osc.dynamics(mass, arm.jacobian, jnp),
        lambda: carry.terms,
    )
    ctrl, closing = actuate(
        command, terms, arm, carry.closing, index, preset.substeps, jnp
    )
    data = _over_envs(
        mjx.step,
        (model.whole, model.blank, model.posed),
        physics,
        qpos=carry.qpos,
        qvel=carry.qvel,
        qacc_warmstart=carry.warmstart,
        ctrl=ctrl.T,
    )
    full = (data._impl.overflow.reshape(ctrl.shape[1]) & NO_ROOM) != 0
    angular, linear = data.cvel[..., :3], data.cvel[..., 3:]
    lever = data.xpos - data.subtree_com[:, model.whole.body_rootid]
    linear += rotation.cross(angular, lever, jnp)
    position, quaternion = observed_poses(
        data.xpos, data.xquat, linear, angular, preset.substeps, jnp
    )
    after = _Carry(
        qpos=data.qpos,
        qvel=data.qvel,
        warmstart=data.qacc_warmstart,
        closing=closing,
        terms=terms,
        xpos=position,
        xquat=quaternion,
        touching=data.sensordata[:, : carry.touching.shape[1]] > 0,
        overflow=carry.overflow + full,
    )
    return after, None


def _read_arm(
    model: WarpModel, physics: PhysicsState, qpos: jax.Array, qvel: jax.Array
) -> tuple[osc.Arm, jax.Array]:
    """The controller's inputs at a state, and the arm's inertia [7, 7, B]."""
    data = _over_envs(
        mjx.forward,
        (model.jointed, model.jointed_blank, model.jointed_posed),
        physics,
        qpos=qpos[:, model.positions],
        qvel=qvel[:, model.velocities],
    )
    position = data.xpos[:, model.hand].T
    orientation = rotation.matrix(data.xquat[:, model.hand], jnp)
    anchors, axes = data.xanchor[:, _ARM].T, data.xaxis[:, _ARM].T
    arm = osc.Arm(
        position=position,
        orientation=jnp.moveaxis(orientation, 0, -1),
        jacobian=osc.jacobian(anchors, axes, position, jnp),
        joints=data.qpos[:, _ARM].T,
        velocity=data.qvel[:, _ARM].T,
        bias=data.qfrc_bias[:, _ARM].T,
        passive=data.qfrc_passive[:, _ARM].T,
    )
    return arm, jnp.moveaxis(data._impl.M[:, model.mass_rows], 0, -1)
