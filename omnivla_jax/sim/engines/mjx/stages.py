"""The stages of a physics substep, as functions of a `StepModel` and a `StepData`.

What is jointed, the robot and the fixtures, goes through MJX; free bodies and contacts
through this package: on a CPU MJX's collision driver, constraint rows and solver take
nine tenths of a substep, and free bodies need no tree. Every environment carries its
own fixture poses, as batched fields of one shared model.
Axes: B environments; F fixtures; S object slots, C bodies, Q positions and V degrees of
freedom of a subset.
"""

import copy
import functools
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim import mjcf, rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.integrator_presets import IntegratorPreset
from omnivla_jax.sim.engines import base
from omnivla_jax.sim.engines.mjx import active_bodies, free_bodies, mjx
from omnivla_jax.sim.engines.mjx.active_bodies import FREE_QPOS, ActiveState
from omnivla_jax.sim.engines.mjx.contact import (
    collision,
    constraint,
    jacobian,
    solver,
    tables,
)
from omnivla_jax.sim.engines.mjx.contact.candidates import select_rows
from omnivla_jax.sim.engines.mjx.contact.collision import CollisionResult
from omnivla_jax.sim.engines.mjx.contact.jacobian import FREE_DOFS
from omnivla_jax.sim.state import PhysicsState, Scene

_UNSET: Any = None


class StepModel(NamedTuple):
    """A scene on the device, with its static tables."""

    preset: IntegratorPreset
    jointed: mjx.Model  # robot and fixtures, without contacts and constraints
    blank: mjx.Data  # of `jointed`
    roots: np.ndarray  # int [V of `jointed`]: the root body of each degree of freedom
    fixtures: np.ndarray  # int [F]: bodies of `jointed` whose pose is data
    hand: int  # body of `jointed` with the grip site
    active: active_bodies.ActiveBodies
    objects: free_bodies.BodyConstants  # of each object; an empty slot's last
    fluid: free_bodies.FluidOptions
    contacts: tables.ContactTables
    num_sensors: int
    joints: constraint.JointTables


class StepData(NamedTuple):
    """A batch within a substep: its state, and what the stages have computed of it."""

    physics: PhysicsState  # before the control step
    subset: jax.Array  # int32 [B]
    state: ActiveState
    jointed: mjx.Data = _UNSET  # [B], by `kinematics` or `smooth_dynamics`
    free_pose: free_bodies.Pose = _UNSET  # by `kinematics` or `free_body_dynamics`
    free_constants: free_bodies.BodyConstants = _UNSET  # by `free_body_dynamics`
    free_dynamics: free_bodies.Dynamics = _UNSET  # by `free_body_dynamics`
    collision: CollisionResult = _UNSET  # by `collide`
    qacc: jax.Array = _UNSET  # [B, V], by `solve_constraints`
    qfrc_constraint: jax.Array = _UNSET  # [B, V], by `solve_constraints`


@functools.lru_cache(maxsize=8)
def step_model(scene: Scene) -> StepModel:
    """Return the model that all programs of one scene share."""
    # The scene without objects: the same bodies and joints in the same order.
    assets = scene.assets._replace(objects={})
    jointed = mjcf.compile_model(assets, scene.preset, plane_tables=True)
    bare, flags = copy.copy(jointed), mujoco.mjtDisableBit
    bare.opt.disableflags |= int(flags.mjDSBL_CONTACT) | int(flags.mjDSBL_CONSTRAINT)
    active = active_bodies.active_bodies(scene)
    rows = active.jointed.bodies.tolist()
    sensors = [(scene.bodies[a], scene.bodies[b]) for a, b in scene.contact_pairs]

    # The budget of the scene's fullest task.
    tasks = [scene.tasks[row] for row in scene.task_ids]
    budget = tables.BUDGET_TABLE
    if any(start.reference for task in tasks for start in task.objects):
        budget = tables.BUDGET_STACKED
    elif any(len(task.goal) > 1 for task in tasks):
        budget = tables.BUDGET_GROUPED

    # Under a trace these would be tracers, and of its mesh, which must not outlive it
    # in a cache.
    no_mesh = jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))
    with jax.ensure_compile_time_eval(), no_mesh:
        return StepModel(
            preset=scene.preset,
            jointed=mjx.put_model(bare, impl="jax"),
            blank=mjx.make_data(bare, impl="jax"),
            roots=jointed.body_rootid[jointed.dof_bodyid],
            fixtures=np.array(
                [rows.index(scene.bodies[n]) for n in scene.posed_bodies]
            ),
            hand=scene.bodies[panda.EEF_BODY],
            active=active,
            objects=free_bodies.body_constants(
                scene.model, [scene.bodies[name] for name in scene.assets.objects]
            ),
            fluid=free_bodies.fluid_options(scene.model),
            contacts=tables.build(
                scene.model,
                sensors,
                active_bodies.body_subsets(active),
                budget=budget,
            ),
            num_sensors=len(sensors),
            joints=constraint.joint_tables(jointed),
        )


def vmap_envs(
    model: StepModel,
    physics: PhysicsState,
    stage: Callable[..., mjx.Data],
    *values: Any,
) -> mjx.Data:
    """Return `stage(jointed, *values)` of every environment.

    Args:
      model: of the scene.
      physics: the batch, for the poses of its fixtures.
      stage: takes `model.jointed` with one environment's fixtures, and its values.
      values: trees of arrays [B, ...].

    Returns:
      MJX's data with a leading axis of B.
    """

    def run(position: jax.Array, quaternion: jax.Array, *env_values: Any) -> mjx.Data:
        jointed = model.jointed.replace(
            body_pos=model.jointed.body_pos.at[model.fixtures].set(position),
            body_quat=model.jointed.body_quat.at[model.fixtures].set(quaternion),
        )
        return stage(jointed, *env_values)

    return jax.vmap(run)(physics.fixture_pos, physics.fixture_quat, *values)


def jointed_kinematics(model: StepModel, data: StepData) -> StepData:
    """Compute the poses of what is jointed."""

    def run(jointed: mjx.Model, qpos: jax.Array) -> mjx.Data:
        qpos = qpos[: jointed.nq]
        return mjx.kinematics(jointed, model.blank.replace(qpos=qpos))

    return data._replace(jointed=vmap_envs(model, data.physics, run, data.state.qpos))


def free_body_kinematics(model: StepModel, data: StepData) -> StepData:
    """Compute the poses of the slots' bodies."""
    qpos = data.state.qpos[:, model.jointed.nq :]
    qpos = qpos.reshape(len(qpos), -1, FREE_QPOS)
    return data._replace(free_pose=free_bodies.kinematics(qpos))


def smooth_dynamics(model: StepModel, data: StepData) -> StepData:
    """Compute all that positions and velocities of what is jointed determine."""

    def run(jointed: mjx.Model, qpos: jax.Array, qvel: jax.Array) -> mjx.Data:
        qpos, qvel = qpos[: jointed.nq], qvel[: jointed.nv]
        result = model.blank.replace(qpos=qpos, qvel=qvel)
        position = (
            mjx.kinematics,
            mjx.com_pos,
            mjx.crb,
            mjx.factor_m,
            mjx.transmission,
        )
        for stage in (*position, mjx.fwd_velocity):
            result = stage(jointed, result)
        return result

    state = data.state
    return data._replace(
        jointed=vmap_envs(model, data.physics, run, state.qpos, state.qvel)
    )


def free_body_dynamics(model: StepModel, data: StepData) -> StepData:
    """Compute all that positions and velocities of the free bodies determine."""
    constants = jax.tree.map(
        lambda table: select_rows(data.subset, table[model.active.slot_objects]),
        model.objects,
    )
    qvel = data.state.qvel[:, model.jointed.nv :]
    qvel = qvel.reshape(len(qvel), -1, FREE_DOFS)
    data = free_body_kinematics(model, data)
    dynamics = free_bodies.dynamics(constants, model.fluid, data.free_pose, qvel)
    return data._replace(free_constants=constants, free_dynamics=dynamics)


def collide(model: StepModel, data: StepData) -> StepData:
    """Find contacts, sensed pairs and overflow at the batch's poses."""
    position, _ = body_poses(data)
    matrix = jnp.concatenate([data.jointed.xmat, data.free_pose.matrix], axis=1)
    geoms = collision.geom_boxes(model.contacts, data.subset, position, matrix)
    return data._replace(
        collision=collision.collide(
            model.contacts, data.subset, geoms, model.num_sensors
        )
    )


def actuate(model: StepModel, data: StepData, ctrl: jax.Array) -> StepData:
    """Compute the forces of `ctrl` [B, 9] and the unconstrained acceleration.

    Args:
      model: of the scene.
      data: after `smooth_dynamics`.
      ctrl: [B, 9], torques of the arm (N m) and positions of the fingers (m).

    Returns:
      The data with forces and accelerations in `jointed`.
    """

    def run(jointed: mjx.Model, env: mjx.Data, ctrl: jax.Array) -> mjx.Data:
        env = mjx.fwd_actuation(jointed, env.replace(ctrl=ctrl))
        return mjx.fwd_acceleration(jointed, env)

    return data._replace(
        jointed=vmap_envs(model, data.physics, run, data.jointed, ctrl)
    )


def solve_constraints(model: StepModel, data: StepData) -> StepData:
    """Compute accelerations, and forces of contacts, limits and joint friction."""
    jointed, free, qvel = data.jointed, data.free_dynamics, data.state.qvel
    extra = qvel.shape[1] - jointed.qvel.shape[1]  # degrees of freedom of the slots

    # Motion axes at the origin; MJX's are about the centre of mass of the whole tree.
    free_axes = free_bodies.motion_axes(data.free_pose)
    angular, linear = jointed.cdof[..., :3], jointed.cdof[..., 3:]
    linear = linear - jnp.cross(angular, jointed.subtree_com[:, model.roots])
    axes = constraint.MotionAxes(
        *(
            jnp.concatenate([rows, slots.reshape(len(slots), -1, 3)], axis=1)
            for rows, slots in zip((angular, linear), free_axes)
        )
    )
    mass = jnp.pad(mass_matrix(model, data), ((0, 0), (0, extra), (0, extra)))
    mass += jacobian.block_diagonal(free.mass, qvel.shape[1])
    force = _concat_dofs(jointed.qfrc_smooth, free.force)
    contacts = constraint.contact_constraints(
        model.contacts,
        data.collision.contacts,
        data.collision.ground_contacts,
        axes,
        qvel,
    )
    joints = constraint.joint_constraints(model.joints, jointed.qpos, jointed.qvel)
    joints = jax.tree.map(lambda row: jnp.pad(row, ((0, 0), (0, extra))), joints)
    qacc, qfrc_constraint = solver.solve(
        solver.Problem(mass, force, contacts, joints),
        data.state.warmstart,
        _concat_dofs(jointed.qacc_smooth, free.acceleration),
        iterations=model.preset.iterations,
    )
    return data._replace(qacc=qacc, qfrc_constraint=qfrc_constraint)


def integrate(model: StepModel, data: StepData) -> ActiveState:
    """Return the state after Euler's step."""
    size, timestep = model.jointed.nv, model.preset.timestep
    jointed = data.jointed.replace(
        qacc=data.qacc[:, :size], qfrc_constraint=data.qfrc_constraint[:, :size]
    )
    jointed = vmap_envs(model, data.physics, mjx.euler, jointed)
    qacc = data.qacc[:, size:].reshape(len(data.qacc), -1, FREE_DOFS)
    qvel = data.state.qvel[:, size:].reshape(qacc.shape)
    if not model.preset.explicit_damping:
        qacc = free_bodies.implicit_damping(
            data.free_constants, data.free_dynamics.mass, qacc, timestep
        )
    qpos, qvel = free_bodies.integrate(data.free_pose, qvel, qacc, timestep)
    return ActiveState(
        _concat_dofs(jointed.qpos, qpos), _concat_dofs(jointed.qvel, qvel), data.qacc
    )


def body_poses(data: StepData) -> tuple[jax.Array, jax.Array]:
    """Return positions [B, C, 3] and quaternions [B, C, 4] of the subsets' bodies.

    Args:
      data: after `jointed_kinematics` and `free_body_kinematics`.

    Returns:
      Positions in m and unit quaternions wxyz, in the world.
    """
    jointed, free = data.jointed, data.free_pose
    return (
        jnp.concatenate([jointed.xpos, free.position], axis=1),
        jnp.concatenate([jointed.xquat, free.quaternion], axis=1),
    )


def observed_poses(model: StepModel, data: StepData) -> tuple[jax.Array, jax.Array]:
    """Return the poses of `body_poses` as `base.observed_poses` shows them.

    Args:
      model: of the scene.
      data: after `smooth_dynamics` and `free_body_kinematics`.

    Returns:
      Positions [B, C, 3] in m and unit quaternions [B, C, 4] wxyz, in the world.
    """
    jointed, free, size = data.jointed, data.free_pose, model.jointed.nv
    angular, linear = jointed.cvel[..., :3], jointed.cvel[..., 3:]
    lever = jointed.xpos - jointed.subtree_com[:, model.jointed.body_rootid]
    linear += rotation.cross(angular, lever, jnp)
    qvel = data.state.qvel[:, size:].reshape(len(linear), -1, FREE_DOFS)
    spin = jnp.einsum("bsij,bsj->bsi", free.matrix, qvel[..., 3:])
    return base.observed_poses(
        *body_poses(data),
        jnp.concatenate([linear, qvel[..., :3]], axis=1),
        jnp.concatenate([angular, spin], axis=1),
        model.preset.substeps,
        jnp,
    )


def mass_matrix(model: StepModel, data: StepData) -> jax.Array:
    """Return the inertia matrices [B, nv, nv] of what is jointed.

    Args:
      model: of the scene.
      data: after `smooth_dynamics`.

    Returns:
      The matrices in kg, kg m or kg m2, as slides and hinges meet.
    """
    return jax.vmap(functools.partial(mjx.full_m, model.jointed))(data.jointed)


def _concat_dofs(jointed: jax.Array, free: jax.Array) -> jax.Array:
    """[B, V] of what is jointed [B, nv] and of the slots [B, S, n]."""
    return jnp.concatenate([jointed, free.reshape(len(free), -1)], axis=1)
