"""MJX as a physics engine: controller, contacts and solver inside the program.

A substep is one pass through the stages; only the poses are computed once more, at
the start of the control step.
Axes: B environments, which are last within a substep; C bodies of a subset, Q contact
sensors.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from omnivla_jax.sim import mjcf, osc
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.integrator_presets import IntegratorPreset
from omnivla_jax.sim.engines.base import (
    Command,
    ContactPairs,
    Engine,
    actuate,
    end_control_step,
    start_command,
)
from omnivla_jax.sim.engines.mjx import active_bodies, stages
from omnivla_jax.sim.engines.mjx.active_bodies import ActiveState
from omnivla_jax.sim.engines.mjx.lanes import in_lanes
from omnivla_jax.sim.engines.mjx.stages import StepData, StepModel
from omnivla_jax.sim.engines.mjx.vectors import take_rows
from omnivla_jax.sim.libero.task_types import SceneAssets
from omnivla_jax.sim.state import PhysicsState, Scene, choose

_ARM = slice(0, panda.NUM_JOINTS)


class _Carry(NamedTuple):
    """What a substep hands to the next."""

    state: ActiveState
    closing: jax.Array  # [B]
    terms: osc.Dynamics
    xpos: jax.Array  # [3, C, B]
    xquat: jax.Array  # [4, C, B]
    touching: jax.Array  # bool [B, Q]
    overflow: jax.Array  # int32 [B]


def compile_model(
    assets: SceneAssets, preset: IntegratorPreset, contact_pairs: ContactPairs
) -> mujoco.MjModel:
    """Compile the model with planes for table tops; contacts are sensed without it.

    Args:
      assets: bodies of the scene.
      preset: time step and solver.
      contact_pairs: unused: the collision search senses contacts.

    Returns:
      MuJoCo's model.
    """
    del contact_pairs
    return mjcf.compile_model(assets, preset, plane_tables=True)


def control_step(
    scene: Scene,
    physics: PhysicsState,
    task: jax.Array,
    action: jax.Array,
    active: jax.Array,
) -> PhysicsState:
    """Advance by one control step; see `base.Engine`. Steps the bodies of the tasks.

    Args:
      scene: the static tables.
      physics: state of the batch before.
      task: int32 [B], row of each environment's task in the suite.
      action: float32 [B, 7]: LIBERO's OSC_POSE command, clipped to [-1, 1].
      active: bool [B].

    Returns:
      The state after 50 ms; environments that are not active keep theirs.
    """
    # TensorFloat-32, the default on recent GPUs, makes the physics drift.
    with jax.default_matmul_precision("highest"):
        after = _control_step(scene, physics, task, jnp.clip(action, -1.0, 1.0))
    return choose(active, after, physics)


def forward(scene: Scene, physics: PhysicsState, task: jax.Array) -> PhysicsState:
    """Recompute body poses and contacts from `qpos`, without stepping.

    Args:
      scene: the static tables.
      physics: state of the batch.
      task: int32 [B], row of each environment's task in the suite.

    Returns:
      The state with `xpos`, `xquat` and `touching` recomputed.
    """
    model = stages.step_model(scene)
    data = stages.start(model, physics, task)
    with jax.default_matmul_precision("highest"):
        data = stages.collide(model, stages.kinematics(model, data))
    poses = stages.body_poses(data)
    after = active_bodies.scatter(
        model.active, data.subset, physics, data.state, *poses
    )
    return dataclasses.replace(after, touching=data.collision.touching)


ENGINE = Engine("mjx", compile_model, control_step, forward, supports_fusion=False)


def _control_step(
    scene: Scene, physics: PhysicsState, task: jax.Array, action: jax.Array
) -> PhysicsState:
    model = stages.step_model(scene)
    data = stages.start(model, physics, task)
    batch, bodies = len(task), model.active.size

    # The command starts at the pose of the hand before the first substep.
    hand = _hand_pose(model, stages.kinematics(model, data))
    goal_mat = jnp.moveaxis(physics.goal_mat, 0, -1)
    previous = osc.PoseGoal(physics.goal_pos.T, goal_mat)
    command = start_command(action.T, hand, previous, physics.fresh, jnp)

    start = _Carry(  # the first substep fills in what is 0 here
        state=data.state,
        closing=physics.gripper,
        terms=osc.Dynamics(*(jnp.zeros((size, size, batch)) for size in (3, 3, 7, 7))),
        xpos=jnp.zeros((3, bodies, batch)),
        xquat=jnp.zeros((4, bodies, batch)),
        touching=physics.touching,
        overflow=physics.overflow,
    )
    substep = functools.partial(_substep, model, data, command)
    end, _ = jax.lax.scan(substep, start, jnp.arange(scene.preset.substeps))
    after = active_bodies.scatter(
        model.active, data.subset, physics, end.state, end.xpos, end.xquat
    )
    return end_control_step(after, command, end.closing, end.touching, end.overflow)


def _substep(
    model: StepModel,
    data: StepData,
    command: Command,
    carry: _Carry,
    index: jax.Array,
) -> tuple[_Carry, None]:
    """Run every stage once; poses and contacts of before the substep are kept."""
    data = data._replace(state=carry.state)
    data = stages.kinematics(model, data)
    data = stages.smooth_dynamics(model, data)
    data = stages.collide(model, data)
    ctrl, closing, terms = _control(model, data, command, carry, index)
    data = stages.actuate(model, data, ctrl)
    data = stages.solve_constraints(model, data)
    state = stages.integrate(model, data)
    # As in the C engine, contacts before the last substep remain.
    poses, collision = data.observed, data.collision
    overflow = carry.overflow + collision.overflow
    return _Carry(state, closing, terms, *poses, collision.touching, overflow), None


def _control(
    model: StepModel,
    data: StepData,
    command: Command,
    carry: _Carry,
    index: jax.Array,
) -> tuple[jax.Array, jax.Array, osc.Dynamics]:
    """Run the controller: `ctrl` [9, B], the gripper's closing [B] and the terms."""
    preset, arm = model.preset, read_arm(model, data)
    mass = data.tree_dynamics.mass[_ARM, _ARM]
    terms = jax.lax.cond(
        index % preset.refresh == 0,
        lambda: in_lanes(
            lambda _, mass, jacobian: osc.dynamics(mass, jacobian, jnp),
            mass,
            arm.jacobian,
        ),
        lambda: carry.terms,
    )
    ctrl, closing = in_lanes(
        lambda _, command, terms, arm, closing, index: actuate(
            command, terms, arm, closing, index, preset.substeps, jnp
        ),
        command,
        terms,
        arm,
        carry.closing,
        index.reshape(1),
    )
    return ctrl, closing, terms


def read_arm(model: StepModel, data: StepData) -> osc.Arm:
    """Return the controller's inputs from a batch after `smooth_dynamics`."""
    state, dynamics = data.state, data.tree_dynamics
    hand = _hand_pose(model, data)
    anchors = take_rows(data.tree_pose.position, model.tree.joints.bodies[_ARM])
    axes = dynamics.axes.angular[:, _ARM]
    return osc.Arm(
        *hand,
        jacobian=osc.jacobian(anchors, axes, hand.position, jnp),
        joints=state.qpos[_ARM],
        velocity=state.qvel[_ARM],
        bias=dynamics.bias[_ARM],
        passive=dynamics.passive[_ARM],
    )


def _hand_pose(model: StepModel, data: StepData) -> osc.PoseGoal:
    """Where the grip site is."""
    pose = data.tree_pose
    return osc.PoseGoal(pose.position[:, model.hand], pose.matrix[:, :, model.hand])
