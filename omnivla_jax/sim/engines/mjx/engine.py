"""MJX as a physics engine: controller, contacts and solver inside the program.

Same contract as the C engine's. A substep is one pass through the stages; only the
jointed bodies' poses are computed once more, at the start of the control step.
Axes: B environments, C bodies of a play, Q watched contact pairs.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from omnivla_jax.sim import mjcf, osc, rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.engines.base import (
    Command,
    ContactPairs,
    Engine,
    actuate,
    start_command,
)
from omnivla_jax.sim.engines.mjx import active_bodies, mjx
from omnivla_jax.sim.engines.mjx import stages as mjx_stages
from omnivla_jax.sim.engines.mjx.stages import each
from omnivla_jax.sim.libero.task_types import SceneAssets
from omnivla_jax.sim.mjcf import IntegratorPreset
from omnivla_jax.sim.state import PhysicsState, Scene

_ARM = slice(0, panda.NUM_JOINTS)


class _Motion(NamedTuple):
    """What changes from substep to substep."""

    state: active_bodies.State
    closing: jax.Array  # [B]
    terms: osc.Dynamics
    xpos: jax.Array  # [B, C, 3]
    xquat: jax.Array  # [B, C, 4]
    touching: jax.Array  # bool [B, Q]
    overflow: jax.Array  # int32 [B]


def compile_model(
    assets: SceneAssets, preset: IntegratorPreset, contact_pairs: ContactPairs
) -> mujoco.MjModel:
    """Compile the model with planes for table tops; contacts are sensed without it."""
    del contact_pairs
    return mjcf.compile_model(assets, preset, plane_tables=True)


def control_step(
    scene: Scene,
    physics: PhysicsState,
    task: jax.Array,
    action: jax.Array,
    active: jax.Array,
) -> PhysicsState:
    """Advance by one control step; see `base.Engine`. Steps the bodies of the tasks."""
    # TensorFloat-32, the default on recent GPUs, makes the physics drift.
    with jax.default_matmul_precision("highest"):
        after = _advance(scene, physics, task, jnp.clip(action, -1.0, 1.0))

    def select(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(active.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

    return jax.tree.map(select, after, physics)


def forward(scene: Scene, physics: PhysicsState, task: jax.Array) -> PhysicsState:
    """Recompute body poses and contacts from `qpos`, without stepping."""
    tables = active_bodies.plays(scene)
    play = jnp.asarray(tables.of_task)[task]
    state = active_bodies.enter(tables, play, physics)
    with jax.default_matmul_precision("highest"):
        data = each(scene, physics, mjx_stages.pose, state.qpos)
        at = mjx_stages.free_poses(scene, state.qpos)
        found = mjx_stages.contacts(scene, play, data, at)
    poses = mjx_stages.bodies(data, at)
    after = active_bodies.leave(tables, play, physics, state, *poses)
    return dataclasses.replace(after, touching=found.touching)


ENGINE = Engine("mjx", compile_model, control_step, forward, supports_fusion=False)


def _advance(
    scene: Scene, physics: PhysicsState, task: jax.Array, action: jax.Array
) -> PhysicsState:
    """One control step of every environment."""
    tables = active_bodies.plays(scene)
    play = jnp.asarray(tables.of_task)[task]
    state = active_bodies.enter(tables, play, physics)
    hand = _hand_pose(scene, physics, state)
    previous = osc.PoseGoal(physics.goal_pos, physics.goal_mat)
    command = start_command(action, hand, previous, physics.fresh, jnp)
    start = _start(scene, physics, state)
    substep = functools.partial(_substep, scene, physics, play, command)
    motion, _ = jax.lax.scan(substep, start, jnp.arange(scene.preset.substeps))
    after = active_bodies.leave(
        tables, play, physics, motion.state, motion.xpos, motion.xquat
    )
    return dataclasses.replace(
        after,
        goal_pos=command.goal.position,
        goal_mat=command.goal.orientation,
        gripper=motion.closing,
        fresh=jnp.zeros_like(physics.fresh),
        touching=motion.touching,
        overflow=motion.overflow,
    )


def _hand_pose(
    scene: Scene, physics: PhysicsState, state: active_bodies.State
) -> osc.PoseGoal:
    """Where the hand is before the first substep."""
    hand = scene.bodies[panda.EEF_BODY]
    now = each(scene, physics, mjx_stages.pose, state.qpos)
    orientation = rotation.matrix(now.xquat[:, hand], jnp)
    return osc.PoseGoal(now.xpos[:, hand], orientation)


def _start(scene: Scene, physics: PhysicsState, state: active_bodies.State) -> _Motion:
    """Before the first substep, which fills in what is 0 here."""
    batch, bodies = len(state.qpos), mjx_stages.body_count(scene)
    return _Motion(
        state=state,
        closing=physics.gripper,
        terms=osc.Dynamics(
            jnp.zeros((batch, 3, 3)), jnp.zeros((batch, 3, 3)), jnp.zeros((batch, 7, 7))
        ),
        xpos=jnp.zeros((batch, bodies, 3)),
        xquat=jnp.zeros((batch, bodies, 4)),
        touching=physics.touching,
        overflow=physics.overflow,
    )


def _substep(
    scene: Scene,
    physics: PhysicsState,
    play: jax.Array,
    command: Command,
    motion: _Motion,
    index: jax.Array,
) -> tuple[_Motion, None]:
    """Controller, then integrator."""
    state, substeps = motion.state, scene.preset.substeps
    data = each(scene, physics, mjx_stages.smooth, state.qpos, state.qvel)
    flight = mjx_stages.fly(scene, play, state)
    found = mjx_stages.contacts(scene, play, data, flight.at)
    arm = _read_arm(scene, data)
    terms = jax.lax.cond(
        index % scene.preset.refresh == 0,
        lambda: _arm_dynamics(scene, data, arm),
        lambda: motion.terms,
    )
    ctrl, closing = actuate(command, terms, arm, motion.closing, index, substeps, jnp)
    data = each(scene, physics, mjx_stages.unconstrained, data, ctrl)
    solved = mjx_stages.constrain(scene, data, flight, found, state)
    after = mjx_stages.integrate(scene, physics, data, flight, state, solved)
    # As in the C engine, poses and contacts before the last substep remain.
    poses = mjx_stages.bodies(data, flight.at)
    overflow = motion.overflow + found.overflow
    return _Motion(after, closing, terms, *poses, found.touching, overflow), None


def _arm_dynamics(scene: Scene, data: mjx.Data, arm: osc.Arm) -> osc.Dynamics:
    mass = mjx_stages.mass(scene, data)[:, _ARM, _ARM]
    return osc.dynamics(mass, arm.jacobian, jnp)


def _read_arm(scene: Scene, data: mjx.Data) -> osc.Arm:
    hand = scene.bodies[panda.EEF_BODY]
    position = data.xpos[:, hand]
    anchors, axes = data.xanchor[:, _ARM], data.xaxis[:, _ARM]
    return osc.Arm(
        position=position,
        orientation=rotation.matrix(data.xquat[:, hand], jnp),
        jacobian=osc.jacobian(anchors, axes, position, jnp),
        joints=data.qpos[:, _ARM],
        velocity=data.qvel[:, _ARM],
        bias=data.qfrc_bias[:, _ARM],
    )
