"""MJX as a physics engine: controller, contacts and solver inside the program.

Same contract as the C engine's. A substep is one pass through the stages; only the
body poses are computed once more, at the start of the control step.
Axes: B environments, N bodies, P watched contact pairs.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim import control, mjx_stages, panda, rotation
from omnivla_jax.sim.mjx_stages import each
from omnivla_jax.sim.quiet_mjx import mjx
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import Physics

_ARM = slice(0, panda.NUM_JOINTS)


class _Motion(NamedTuple):
    """What changes from substep to substep."""

    qpos: jax.Array  # [B, nq]
    qvel: jax.Array  # [B, nv]
    warmstart: jax.Array  # [B, nv]
    closing: jax.Array  # [B]
    terms: control.Dynamics
    xpos: jax.Array  # [B, N, 3]
    xquat: jax.Array  # [B, N, 4]
    touching: jax.Array  # [B, P]
    overflow: jax.Array  # int32 [B]


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
        data = each(scene, physics, mjx_stages.pose, physics.qpos)
        found = mjx_stages.contacts(scene, data)
    return dataclasses.replace(
        physics, xpos=data.xpos, xquat=data.xquat, touching=found.touching
    )


def _advance(scene: Scene, physics: Physics, action: jax.Array) -> Physics:
    """One control step of every environment."""
    hand, batch = scene.bodies[panda.EEF_BODY], action.shape[0]
    now = each(scene, physics, mjx_stages.pose, physics.qpos)
    orientation = rotation.matrix(now.xquat[:, hand], jnp)
    current = control.PoseGoal(now.xpos[:, hand], orientation)
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
        xpos=physics.xpos,
        xquat=physics.xquat,
        touching=physics.touching,
        overflow=physics.overflow,
    )
    substep = functools.partial(_substep, scene, physics, action, goal)
    motion, _ = jax.lax.scan(substep, motion, jnp.arange(scene.preset.substeps))
    return dataclasses.replace(
        physics,
        qpos=motion.qpos,
        qvel=motion.qvel,
        warmstart=motion.warmstart,
        goal_pos=goal.position,
        goal_mat=goal.orientation,
        gripper=motion.closing,
        fresh=jnp.zeros_like(physics.fresh),
        xpos=motion.xpos,
        xquat=motion.xquat,
        touching=motion.touching,
        overflow=motion.overflow,
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
    data = each(scene, physics, mjx_stages.smooth, motion.qpos, motion.qvel)
    found = mjx_stages.contacts(scene, data)
    arm = _read_arm(scene, data)
    substeps = scene.preset.substeps
    terms = jax.lax.cond(
        index % scene.preset.refresh == 0,
        lambda: _arm_dynamics(scene, data, arm),
        lambda: motion.terms,
    )
    # LIBERO's controller sleeps through its first update after a reset.
    sleeps = (physics.fresh & (index == 0))[:, None]
    torque = jnp.where(sleeps, arm.bias, control.torque(terms, arm, goal, jnp))
    closing = control.ramp_gripper(motion.closing, action[:, 6], substeps, jnp)
    ctrl = jnp.concatenate([torque, control.finger_targets(closing, jnp)], axis=-1)
    data = each(scene, physics, mjx_stages.unconstrained, data, ctrl)
    data = mjx_stages.constrain(scene, data, found.contacts, motion.warmstart)
    after = each(scene, physics, mjx_stages.integrate, data)
    return (
        _Motion(
            qpos=after.qpos,
            qvel=after.qvel,
            warmstart=after.qacc_warmstart,
            closing=closing,
            terms=terms,
            # As in the C engine, poses and contacts before the last substep remain.
            xpos=data.xpos,
            xquat=data.xquat,
            touching=found.touching,
            overflow=motion.overflow + found.overflow,
        ),
        None,
    )


def _arm_dynamics(scene: Scene, data: mjx.Data, arm: control.Arm) -> control.Dynamics:
    mass = mjx_stages.mass(scene, data)[:, _ARM, _ARM]
    return control.dynamics(mass, arm.jacobian, jnp)


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
