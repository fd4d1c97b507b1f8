"""MJX as a physics engine: controller, contacts and solver inside the program.

Same contract as the C engine's. Every environment carries its own fixture poses, as
batched fields of one shared model. A substep is one pass through MJX's stages; only
the body poses are computed once more, at the end of the control step.
Axes: B environments, N bodies, F fixtures, P watched contact pairs, C contacts.
"""

import contextlib
import copy
import dataclasses
import functools
import io
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim import (
    constraints,
    contact_tables,
    contacts,
    control,
    newton,
    panda,
    rotation,
)
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import Physics

# On import MJX prints that it misses warp, its second implementation: not ours.
with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx

_ARM = slice(0, panda.NUM_JOINTS)


class _Motion(NamedTuple):
    """What changes from substep to substep."""

    qpos: jax.Array  # [B, nq]
    qvel: jax.Array  # [B, nv]
    warmstart: jax.Array  # [B, nv]
    closing: jax.Array  # [B]
    terms: control.Dynamics
    touching: jax.Array  # [B, P]
    overflow: jax.Array  # int32 [B]: contacts without room, summed over substeps


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
    # TensorFloat-32, the default on recent GPUs, makes the physics drift.
    with jax.default_matmul_precision("highest"):
        after = _advance(scene, physics, jnp.clip(action, -1.0, 1.0))

    def select(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(active.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

    return jax.tree.map(select, after, physics)


def forward(scene: Scene, physics: Physics) -> Physics:
    """Recompute body poses and contacts from `qpos`, without stepping."""
    with jax.default_matmul_precision("highest"):
        data = _each(scene, physics, _pose, physics.qpos)
        found = _search(scene, data)
    return dataclasses.replace(
        physics, xpos=data.xpos, xquat=data.xquat, touching=found.touching
    )


class _Engine(NamedTuple):
    """The scene's model and an empty state, on the device, and the tables."""

    model: mjx.Model
    blank: mjx.Data
    contacts: contact_tables.ContactTables
    joints: constraints.JointTables
    affects: np.ndarray  # bool [N, V]: which degrees of freedom move which body


@functools.lru_cache(maxsize=8)
def _engine(scene: Scene) -> _Engine:
    bare = copy.copy(scene.model)  # contacts and constraints are not MJX's
    bare.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    bare.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    watched = [
        (scene.bodies[first], scene.bodies[second])
        for first, second in scene.contact_pairs
    ]
    # Under a trace these would be tracers, which must not outlive it in a cache.
    with jax.ensure_compile_time_eval():
        return _Engine(
            mjx.put_model(bare, impl="jax"),
            mjx.make_data(bare, impl="jax"),
            contact_tables.build(scene.model, watched),
            constraints.joint_tables(scene.model),
            _affects(scene.model),
        )


def _affects(model: mujoco.MjModel) -> np.ndarray:
    moves = np.zeros((model.nbody, model.nv), bool)
    for body in range(1, model.nbody):
        moves[body] = moves[model.body_parentid[body]]
        start = model.body_dofadr[body]
        moves[body, start : start + model.body_dofnum[body]] = True
    return moves


def _each(
    scene: Scene, physics: Physics, stage: Callable[..., mjx.Data], *values: Any
) -> mjx.Data:
    """`stage(engine, *values)` for every environment, with its own fixtures."""
    ids = np.array([scene.bodies[row.name] for row in scene.suite.fixtures])
    engine = _engine(scene)

    def one(position: jax.Array, quaternion: jax.Array, *own: Any) -> mjx.Data:
        model = engine.model.replace(
            body_pos=engine.model.body_pos.at[ids].set(position),
            body_quat=engine.model.body_quat.at[ids].set(quaternion),
        )
        return stage(engine._replace(model=model), *own)

    return jax.vmap(one)(physics.fixture_pos, physics.fixture_quat, *values)


def _pose(engine: _Engine, qpos: jax.Array) -> mjx.Data:
    """Body poses only."""
    return mjx.kinematics(engine.model, engine.blank.replace(qpos=qpos))


def _smooth(engine: _Engine, qpos: jax.Array, qvel: jax.Array) -> mjx.Data:
    """Everything that positions and velocities determine, but contacts."""
    data = engine.blank.replace(qpos=qpos, qvel=qvel)
    stages = (mjx.kinematics, mjx.com_pos, mjx.crb, mjx.factor_m, mjx.transmission)
    for stage in (*stages, mjx.fwd_velocity):
        data = stage(engine.model, data)
    return data


def _unconstrained(engine: _Engine, data: mjx.Data, ctrl: jax.Array) -> mjx.Data:
    """The motors' forces and the acceleration that all but contacts cause."""
    data = mjx.fwd_actuation(engine.model, data.replace(ctrl=ctrl))
    return mjx.fwd_acceleration(engine.model, data)


def _search(scene: Scene, data: mjx.Data) -> contacts.Found:
    """Contacts, watched pairs and overflow at the poses in `data`."""
    center = data.geom_xpos.transpose(2, 0, 1)
    axes = data.geom_xmat.transpose(2, 3, 0, 1)
    return contacts.search(
        _engine(scene).contacts, center, axes, len(scene.contact_pairs)
    )


def _constrain(
    scene: Scene, data: mjx.Data, found: contacts.Contacts, warmstart: jax.Array
) -> mjx.Data:
    """Adds the accelerations and forces of contacts, limits and joint friction."""
    engine, preset = _engine(scene), scene.preset
    cones = constraints.contact_rows(
        engine.contacts,
        found,
        _motion(scene, data),
        engine.affects,
        data.qvel,
        float(scene.model.opt.impratio),
    )
    joints = constraints.joint_rows(engine.joints, data.qpos, data.qvel)
    mass = jax.vmap(lambda one: mjx.full_m(engine.model, one))(data)
    acceleration, force = newton.solve(
        newton.Problem(mass, data.qfrc_smooth, cones, joints),
        warmstart,
        data.qacc_smooth,
        iterations=preset.iterations,
        line_search=preset.ls_iterations,
    )
    return data.replace(qacc=acceleration, qfrc_constraint=force)


def _motion(scene: Scene, data: mjx.Data) -> constraints.Motion:
    roots = scene.model.body_rootid[scene.model.dof_bodyid]
    angular, linear = data.cdof[..., :3], data.cdof[..., 3:]
    return constraints.Motion(
        angular, linear - jnp.cross(angular, data.subtree_com[:, roots])
    )


def _advance(scene: Scene, physics: Physics, action: jax.Array) -> Physics:
    """One control step of every environment."""
    hand, batch = scene.bodies[panda.EEF_BODY], action.shape[0]
    orientation = rotation.matrix(physics.xquat[:, hand], jnp)
    current = control.PoseGoal(physics.xpos[:, hand], orientation)
    held = control.PoseGoal(physics.goal_pos, physics.goal_mat)
    goal = control.set_goal(action, current, held, physics.fresh, jnp)
    motion = _Motion(
        qpos=physics.qpos,
        qvel=physics.qvel,
        warmstart=physics.warmstart,
        closing=physics.gripper,
        terms=control.Dynamics(
            jnp.zeros((batch, 3, 3)), jnp.zeros((batch, 3, 3)), jnp.zeros((batch, 7, 7))
        ),
        touching=physics.touching,
        overflow=jnp.zeros(batch, jnp.int32),
    )
    substep = functools.partial(_substep, scene, physics, action, goal)
    motion, _ = jax.lax.scan(substep, motion, jnp.arange(scene.preset.substeps))
    end = _each(scene, physics, _pose, motion.qpos)
    return dataclasses.replace(
        physics,
        qpos=motion.qpos,
        qvel=motion.qvel,
        warmstart=motion.warmstart,
        goal_pos=goal.position,
        goal_mat=goal.orientation,
        gripper=motion.closing,
        fresh=jnp.zeros_like(physics.fresh),
        xpos=end.xpos,
        xquat=end.xquat,
        touching=motion.touching,
    )


def _substep(
    scene: Scene,
    physics: Physics,
    action: jax.Array,
    goal: control.PoseGoal,
    motion: _Motion,
    index: jax.Array,
) -> tuple[_Motion, None]:
    """Controller, then integrator."""
    data = _each(scene, physics, _smooth, motion.qpos, motion.qvel)
    found = _search(scene, data)
    arm = _read_arm(scene, data)
    substeps = scene.preset.substeps
    refresh = control.refresh_substeps(scene.preset.timestep, substeps)
    terms = jax.lax.cond(
        index % refresh == 0,
        lambda: control.dynamics(_arm_mass(scene, data), arm.jacobian, jnp),
        lambda: motion.terms,
    )
    # LIBERO's controller sleeps through its first update after a reset.
    sleeps = (physics.fresh & (index == 0))[:, None]
    torque = jnp.where(sleeps, arm.bias, control.torque(terms, arm, goal, jnp))
    closing = control.ramp_gripper(motion.closing, action[:, 6], substeps, jnp)
    ctrl = jnp.concatenate([torque, control.finger_targets(closing, jnp)], axis=-1)
    data = _each(scene, physics, _unconstrained, data, ctrl)
    data = _constrain(scene, data, found.contacts, motion.warmstart)
    after = _each(scene, physics, lambda e, d: mjx.euler(e.model, d), data)
    return (
        _Motion(
            qpos=after.qpos,
            qvel=after.qvel,
            warmstart=after.qacc_warmstart,
            closing=closing,
            terms=terms,
            # As the C engine's sensors: contacts at the start of the last substep.
            touching=found.touching,
            overflow=motion.overflow + found.overflow,
        ),
        None,
    )


def _read_arm(scene: Scene, data: mjx.Data) -> control.Arm:
    hand = scene.bodies[panda.EEF_BODY]
    position = data.xpos[:, hand]
    anchors, axes = data.xanchor[:, _ARM], data.xaxis[:, _ARM]
    return control.Arm(
        position=position,
        orientation=rotation.matrix(data.xquat[:, hand], jnp),
        jacobian=control.jacobian(anchors, axes, position, jnp),
        joints=data.qpos[:, _ARM],
        velocity=data.qvel[:, _ARM],
        bias=data.qfrc_bias[:, _ARM],
    )


def _arm_mass(scene: Scene, data: mjx.Data) -> jax.Array:
    """The arm's block [B, 7, 7] of the inertia matrix."""
    model = _engine(scene).model
    return jax.vmap(lambda one: mjx.full_m(model, one))(data)[:, _ARM, _ARM]
