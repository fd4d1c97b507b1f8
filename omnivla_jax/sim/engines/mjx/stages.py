"""The stages of a physics substep, as functions of a `StepModel` and a `StepData`.

What is jointed, the robot and the fixtures, free bodies and contacts have modules of
their own: MJX writes out every body and pair, and on a CPU its collision driver,
constraint rows and solver take nine tenths of a substep. Every environment carries its
own fixture poses.
Axes: components lead; F fixtures; S object slots, C bodies, Q positions and V degrees
of freedom of a subset; B environments last.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import mjcf
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.integrator_presets import IntegratorPreset
from omnivla_jax.sim.engines import base
from omnivla_jax.sim.engines.mjx import (
    active_bodies,
    fluid,
    free_bodies,
    joint_tree,
    linear_solve,
    tree_tables,
)
from omnivla_jax.sim.engines.mjx.active_bodies import FREE_QPOS, ActiveState
from omnivla_jax.sim.engines.mjx.contact import (
    collision,
    constraint,
    matrix_products,
    solver,
    solver_kernel,
    tables,
)
from omnivla_jax.sim.engines.mjx.contact.collision import CollisionResult
from omnivla_jax.sim.engines.mjx.contact.jacobian import FREE_DOFS
from omnivla_jax.sim.engines.mjx.lanes import Take, in_lanes
from omnivla_jax.sim.engines.mjx.vectors import (
    cross,
    from_axis_angle,
    matvec,
    multiply,
    take_rows,
)
from omnivla_jax.sim.state import PhysicsState, Scene

_UNSET: Any = None


class StepModel(NamedTuple):
    """A scene's static tables."""

    preset: IntegratorPreset
    tree: tree_tables.TreeTables  # robot and fixtures
    posed: np.ndarray  # int [F]: bodies of `tree` whose pose is data
    hand: int  # body of `tree` with the grip site
    active: active_bodies.ActiveBodies
    objects: free_bodies.BodyConstants  # of each object; an empty slot's last
    medium: fluid.FluidOptions
    contacts: tables.ContactTables
    num_sensors: int
    joints: constraint.JointTables


class StepData(NamedTuple):
    """A batch within a substep: its state, and what the stages have computed of it."""

    subset: jax.Array  # int32 [B]
    pairs: collision.SubsetTables
    frames: joint_tree.Frames  # of what is jointed, in the parents
    free_constants: free_bodies.BodyConstants
    state: ActiveState
    tree_pose: free_bodies.Pose = _UNSET  # by `kinematics`
    free_pose: free_bodies.Pose = _UNSET  # by `kinematics`
    tree_dynamics: joint_tree.TreeDynamics = _UNSET  # by `smooth_dynamics`
    free_dynamics: free_bodies.Dynamics = _UNSET  # by `smooth_dynamics`
    motion: constraint.MotionAxes = _UNSET  # [V, B], by `smooth_dynamics`
    # [3, C, B] and [4, C, B]: what an observation shows, by `smooth_dynamics`
    observed: joint_tree.Frames = _UNSET
    collision: CollisionResult = _UNSET  # by `collide`
    tree_force: jax.Array = _UNSET  # [nv, B]: all but constraints', by `actuate`
    qacc: jax.Array = _UNSET  # [V, B], by `solve_constraints`
    qfrc_constraint: jax.Array = _UNSET  # [V, B], by `solve_constraints`


@functools.lru_cache(maxsize=8)
def step_model(scene: Scene) -> StepModel:
    """Return the model that all programs of one scene share."""
    # The scene without objects: the same bodies and joints in the same order.
    assets = scene.assets._replace(objects={})
    jointed = mjcf.compile_model(assets, scene.preset, plane_tables=True)
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
            tree=tree_tables.tree_tables(jointed),
            posed=np.array([rows.index(scene.bodies[n]) for n in scene.posed_bodies]),
            hand=scene.bodies[panda.EEF_BODY],
            active=active,
            objects=free_bodies.body_constants(
                scene.model, [scene.bodies[name] for name in scene.assets.objects]
            ),
            medium=fluid.fluid_options(scene.model),
            contacts=tables.build(
                scene.model,
                sensors,
                active_bodies.body_subsets(active),
                budget=budget,
            ),
            num_sensors=len(sensors),
            joints=constraint.joint_tables(jointed),
        )


def start(model: StepModel, physics: PhysicsState, task: jax.Array) -> StepData:
    """Return the data of a batch, its state compacted to the bodies of its tasks."""
    subset = jnp.asarray(model.active.of_task)[task]
    objects = jax.tree.map(
        lambda table: active_bodies.select_last(
            subset, table[..., model.active.slot_objects]
        ),
        model.objects,
    )
    position, quaternion = physics.fixture_pos.T, physics.fixture_quat.T
    return StepData(
        subset,
        collision.subset_tables(model.contacts, subset),
        joint_tree.frames(model.tree.bodies, model.posed, position, quaternion),
        objects,
        active_bodies.gather(model.active, subset, physics),
    )


def kinematics(model: StepModel, data: StepData) -> StepData:
    """Compute the poses of all bodies."""

    def poses(_: Take, frames: joint_tree.Frames, qpos: jax.Array) -> tuple:
        tree, free = _split(model.tree, qpos, FREE_QPOS)
        return (
            joint_tree.kinematics(model.tree, frames, tree),
            free_bodies.kinematics(free),
        )

    tree_pose, free_pose = in_lanes(poses, data.frames, data.state.qpos)
    return data._replace(tree_pose=tree_pose, free_pose=free_pose)


def smooth_dynamics(model: StepModel, data: StepData) -> StepData:
    """Compute all that positions and velocities determine without contacts."""

    def dynamics(
        _: Take,
        constants: free_bodies.BodyConstants,
        tree_pose: free_bodies.Pose,
        free_pose: free_bodies.Pose,
        qvel: jax.Array,
    ) -> tuple:
        tree, free = _split(model.tree, qvel, FREE_DOFS)
        jointed = joint_tree.dynamics(model.tree, tree_pose, tree)
        return (
            jointed,
            free_bodies.dynamics(constants, model.medium, free_pose, free),
            _motion_axes(model.tree, tree_pose, jointed, free_pose),
            _observed_poses(model, jointed.velocity, tree_pose, free_pose, free),
        )

    tree, free, axes, observed = in_lanes(
        dynamics,
        data.free_constants,
        data.tree_pose,
        data.free_pose,
        data.state.qvel,
    )
    return data._replace(
        tree_dynamics=tree, free_dynamics=free, motion=axes, observed=observed
    )


def collide(model: StepModel, data: StepData) -> StepData:
    """Find contacts, sensed pairs and overflow at the batch's poses."""
    position, _ = body_poses(data)
    matrix = jnp.concatenate([data.tree_pose.matrix, data.free_pose.matrix], axis=2)
    return data._replace(
        collision=collision.collide(
            model.contacts, data.pairs, position, matrix, model.num_sensors
        )
    )


def actuate(model: StepModel, data: StepData, ctrl: jax.Array) -> StepData:
    """Add the forces of `ctrl` [9, B] to those of `smooth_dynamics`.

    Args:
      model: of the scene.
      data: after `smooth_dynamics`.
      ctrl: [9, B], torques of the arm (N m) and positions of the fingers (m).

    Returns:
      The data with `tree_force`.
    """
    size = len(model.tree.joints.bodies)
    state, jointed = data.state, data.tree_dynamics
    force = joint_tree.actuation(
        model.tree.actuators, state.qpos[:size], state.qvel[:size], ctrl
    )
    return data._replace(tree_force=force + jointed.passive - jointed.bias)


def solve_constraints(model: StepModel, data: StepData) -> StepData:
    """Compute accelerations, and forces of contacts, limits and joint friction."""
    tree, free, state = data.tree_dynamics, data.free_dynamics, data.state
    size = len(data.tree_force)
    extra = len(state.qvel) - size  # degrees of freedom of the slots
    limits = constraint.joint_constraints(
        model.joints, state.qpos[:size], state.qvel[:size]
    )
    inputs = solver.SolverInputs(
        rows=constraint.contact_constraints(
            model.contacts, data.collision.contacts, data.collision.ground_contacts
        ),
        motion=data.motion,
        tree_mass=tree.mass,
        free_mass=free.mass,
        free_acceleration=free.acceleration.swapaxes(0, 1).reshape(extra, -1),
        force=_join(data.tree_force, free.force),
        joints=jax.tree.map(lambda row: jnp.pad(row, ((0, extra), (0, 0))), limits),
        qvel=state.qvel,
        warmstart=state.warmstart,
    )
    moves, iterations = model.contacts.moves, model.preset.iterations
    qacc, qfrc_constraint = jax.lax.platform_dependent(
        inputs,
        tpu=lambda inputs: solver_kernel.solve(
            inputs, solver_kernel.moved_bodies(moves), iterations=iterations
        ),
        default=lambda inputs: matrix_products.solve(
            inputs, moves, iterations=iterations
        ),
    )
    return data._replace(qacc=qacc, qfrc_constraint=qfrc_constraint)


def integrate(model: StepModel, data: StepData) -> ActiveState:
    """Return the state after Euler's step."""
    state, timestep, tree = data.state, model.preset.timestep, model.tree
    qacc, free_qacc = _split(tree, data.qacc, FREE_DOFS)
    qvel, free_qvel = _split(tree, state.qvel, FREE_DOFS)
    if not model.preset.explicit_damping:
        damping = timestep * tree.joints.damping * np.eye(len(qacc))
        mass = data.tree_dynamics.mass + damping[..., None]
        force = data.tree_force + data.qfrc_constraint[: len(qacc)]
        qacc = linear_solve.solve(mass, force)
        free_qacc = free_bodies.implicit_damping(
            data.free_constants, data.free_dynamics.mass, free_qacc, timestep
        )
    qvel = qvel + timestep * qacc
    qpos = state.qpos[: len(qvel)] + timestep * qvel
    free_qpos, free_qvel = free_bodies.integrate(
        data.free_pose, free_qvel, free_qacc, timestep
    )
    return ActiveState(_join(qpos, free_qpos), _join(qvel, free_qvel), data.qacc)


def body_poses(data: StepData) -> tuple[jax.Array, jax.Array]:
    """Return positions [3, C, B] and quaternions [4, C, B] of the subsets' bodies.

    Args:
      data: after `kinematics`.

    Returns:
      Positions in m and unit quaternions wxyz, in the world.
    """
    tree, free = data.tree_pose, data.free_pose
    return (
        jnp.concatenate([tree.position, free.position], axis=1),
        jnp.concatenate([tree.quaternion, free.quaternion], axis=1),
    )


def _observed_poses(
    model: StepModel,
    velocity: joint_tree.Spatial,
    pose: free_bodies.Pose,
    free_pose: free_bodies.Pose,
    qvel: jax.Array,
) -> joint_tree.Frames:
    """All bodies' poses as `base.observed_poses` shows them; `qvel` is the slots'."""
    seconds = base.CONTROL_TIMESTEP / model.preset.substeps - base.OBSERVATION_DELAY
    spin = matvec(free_pose.matrix, qvel[3:])
    linear = jnp.concatenate([velocity.linear, qvel[:3]], axis=1)
    angular = jnp.concatenate([velocity.angular, spin], axis=1)
    position = jnp.concatenate([pose.position, free_pose.position], axis=1)
    quaternion = jnp.concatenate([pose.quaternion, free_pose.quaternion], axis=1)
    turn = from_axis_angle(seconds * angular)
    return joint_tree.Frames(position + seconds * linear, multiply(turn, quaternion))


def _motion_axes(
    tree: tree_tables.TreeTables,
    pose: free_bodies.Pose,
    jointed: joint_tree.TreeDynamics,
    free_pose: free_bodies.Pose,
) -> constraint.MotionAxes:
    """Motion axes at the origin; the tree's are about the positions of its roots."""
    roots = take_rows(pose.position, tree.bodies.roots[tree.joints.bodies])
    linear = jointed.axes.linear - cross(jointed.axes.angular, roots)
    rows = zip((jointed.axes.angular, linear), free_bodies.motion_axes(free_pose))
    return constraint.MotionAxes(
        *(
            jnp.concatenate(
                [joints, slots.swapaxes(1, 2).reshape(3, -1, joints.shape[-1])], axis=1
            )
            for joints, slots in rows
        )
    )


def _split(
    tree: tree_tables.TreeTables, values: jax.Array, width: int
) -> tuple[jax.Array, jax.Array]:
    """Values [nv, B] of what is jointed and [width, S, B] of the slots."""
    size = len(tree.joints.bodies)
    slots = values[size:].reshape(-1, width, values.shape[-1])
    return values[:size], slots.swapaxes(0, 1)


def _join(tree: jax.Array, free: jax.Array) -> jax.Array:
    """[V, B] of what is jointed [nv, B] and of the slots [width, S, B]."""
    slots = free.swapaxes(0, 1).reshape(-1, free.shape[-1])
    return jnp.concatenate([tree, slots])
