"""What a physics engine is, and the part of a control step that all engines share.

`xp` is the array module, NumPy or jax.numpy, so that the controller runs the same lines
in both. Axes: B environments, which are last in what the controller reads and returns.
"""

import dataclasses
from typing import Any, Callable, NamedTuple

import chex
import jax
import jax.numpy as jnp
import mujoco

from omnivla_jax.sim import osc, rotation
from omnivla_jax.sim.assets.integrator_presets import IntegratorPreset
from omnivla_jax.sim.libero.task_types import SceneAssets
from omnivla_jax.sim.rotation import Array
from omnivla_jax.sim.state import PhysicsState, Scene

ContactPairs = tuple[tuple[str, str], ...]  # names of root bodies
CONTROL_TIMESTEP = 0.05  # s
OBSERVATION_DELAY = 0.004  # s, of what LIBERO shows after a control step


@dataclasses.dataclass(frozen=True)
class Engine:
    """A physics engine by name, as functions of a batch of environments."""

    name: str  # key of the registry, value of `--engine` and `config.engine`
    # (assets, preset, contact_pairs) -> the model that the engine steps. Bodies and
    # joints are those of `mjcf.compile_model`, whatever the engine adds.
    compile: Callable[[SceneAssets, IntegratorPreset, ContactPairs], mujoco.MjModel]
    # (scene, physics, task [B], action [B, 7] within [-1, 1], active bool [B]) -> the
    # state after 50 ms; environments that are not active keep theirs.
    control_step: Callable[
        [Scene, PhysicsState, jax.Array, jax.Array, jax.Array], PhysicsState
    ]
    # (scene, physics, task [B]) -> `xpos`, `xquat` and `touching` recomputed from
    # `qpos` without stepping.
    forward: Callable[[Scene, PhysicsState, jax.Array], PhysicsState]
    # Whether programs that contain it may use XLA's fusion emitters on a CPU.
    supports_fusion: bool


class Command(NamedTuple):
    """What the controller follows during one control step."""

    goal: osc.PoseGoal
    previous: osc.PoseGoal  # of the last control step; after a reset it is `goal`
    gripper: Array  # [B]: > 0 closes, < 0 opens
    fresh: Array  # bool [B]: no control step since reset or restore


def start_command(
    action: Array,
    current: osc.Arm | osc.PoseGoal,
    previous: osc.PoseGoal,
    fresh: Array,
    xp: Any,
) -> Command:
    """Return the command of a control step that starts at the `current` hand pose.

    Args:
      action: [7, B] within [-1, 1].
      current: position [3, B] and orientation [3, 3, B] of the grip site.
      previous: goal of the last control step.
      fresh: bool [B]: no control step since reset or restore.
      xp: NumPy or jax.numpy.

    Returns:
      The goal of the hand, the gripper's command [B] and `fresh`.
    """
    goal = osc.set_goal(action, current, previous, fresh, xp)
    before = (xp.where(fresh, new, old) for new, old in zip(goal, previous))
    return Command(goal, osc.PoseGoal(*before), action[6], fresh)


def actuate(
    command: Command,
    terms: osc.Dynamics,
    arm: osc.Arm,
    closing: Array,
    substep: Array | int,
    substeps: int,
    xp: Any,
) -> tuple[Array, Array]:
    """Run the controller in one substep.

    Args:
      command: of the control step.
      terms: matrices of operational-space control.
      arm: pose, Jacobian, joints and bias torques in this substep.
      closing: [B] commanded closing of the gripper in [-1, 1], before the substep.
      substep: index of the substep in its control step.
      substeps: substeps of a control step.
      xp: NumPy or jax.numpy.

    Returns:
      `ctrl` [9, B], the arm's torques and the fingers' positions, and `closing` after
      the substep.
    """
    gain = osc.gains(CONTROL_TIMESTEP / substeps)
    torque = osc.torque(terms, arm, command.goal, gain, xp)
    if not isinstance(substep, int) or substep == 0:  # a traced one may be the first
        earlier = osc.torque(terms, arm, command.previous, gain, xp)
        share = xp.where(substep == 0, gain.new_goal_weight, 1.0)
        torque = earlier + share * (torque - earlier)
    # LIBERO's controller sleeps through its first update after a reset, 2 ms.
    asleep = command.fresh & (substep == 0)
    awake = arm.bias + (1.0 - gain.new_goal_weight) * (torque - arm.bias)
    torque = xp.where(asleep, awake, torque)
    closing = osc.ramp_gripper(closing, command.gripper, substeps, xp)
    fingers = osc.finger_targets(closing, xp)
    return xp.concatenate([torque, fingers]), closing


def observed_poses(
    position: Array,
    quaternion: Array,
    linear: Array,
    angular: Array,
    substeps: int,
    xp: Any,
) -> tuple[Array, Array]:
    """Advance poses of the start of the last substep to those that LIBERO shows.

    After `set_init_state` LIBERO samples its observations in the last but one of its
    substeps, whose poses are those of 4 ms before the end of the control step.

    Args:
      position: [..., 3] m.
      quaternion: [..., 4] wxyz.
      linear: [..., 3] m/s, of the positions.
      angular: [..., 3] rad/s, in the world.
      substeps: of a control step.
      xp: NumPy or jax.numpy.

    Returns:
      The positions and the unit quaternions.
    """
    chex.assert_equal_shape([position, linear, angular])
    seconds = CONTROL_TIMESTEP / substeps - OBSERVATION_DELAY
    turn = rotation.from_axis_angle(seconds * angular, xp)
    return position + seconds * linear, rotation.multiply(turn, quaternion, xp)


def end_control_step(
    physics: PhysicsState,
    command: Command,
    gripper: jax.Array,
    touching: jax.Array,
    overflow: jax.Array,
) -> PhysicsState:
    """Return `physics` with what a control step leaves to the next one.

    Args:
      physics: after the control step; its other fields are those of before.
      command: of the control step.
      gripper: [B] commanded closing in [-1, 1] after the last substep.
      touching: bool [B, P], watched pairs in contact in the last substep.
      overflow: int32 [B], substeps whose contacts exceeded the engine's budget so far.
    """
    position, orientation = command.goal
    return dataclasses.replace(
        physics,
        goal_pos=position.T,
        goal_mat=jnp.moveaxis(orientation, -1, 0),
        gripper=gripper,
        fresh=jnp.zeros_like(command.fresh),
        touching=touching,
        overflow=overflow,
    )
