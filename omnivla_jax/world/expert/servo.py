"""The servo: from a waypoint and the state to the next action, for a batch.

Axes: B environments; lengths in m, angles in rad; quaternions wxyz.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim import osc, rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.goals import task_ids
from omnivla_jax.sim.state import EnvState, Scene
from omnivla_jax.world.expert import table
from omnivla_jax.world.expert.table import WaypointTable

POSITION_GAIN, ROTATION_GAIN = 2.0, 1.2
# Of two equally good orientations, the one closer to the last is taken: weight of its
# closeness against that to the hand's home.
ORIENTATION_HYSTERESIS = 0.3
_TOP_DOWN = (0.0, 0.5**0.5, 0.5**0.5, 0.0)  # x to y, y to x, z to -z
_FINGERS_SWAPPED = (0.0, 0.0, 0.0, 1.0)  # half a turn about the pointing direction


class ExpertState(NamedTuple):
    """The expert's state between control steps."""

    waypoint: jax.Array  # int32 [B]: index into the task's skill
    elapsed: jax.Array  # int32 [B]: control steps since the waypoint began
    start: jax.Array  # float32 [B, 3]: position of the hand when the waypoint began
    orientation: jax.Array  # float32 [B, 4]: the hand's last target


def init(state: EnvState) -> ExpertState:
    """The expert's state before its first action."""
    zeros = jnp.zeros_like(state.task)
    orientation = jnp.broadcast_to(jnp.array(_TOP_DOWN), zeros.shape + (4,))
    return ExpertState(zeros, zeros, jnp.zeros(zeros.shape + (3,)), orientation)


def act(
    scene: Scene, state: EnvState, expert: ExpertState
) -> tuple[jax.Array, ExpertState]:
    """Compute the expert's next action in every environment.

    Each follows the skill of its own task; without one the hand stands still, see
    `require_skills`.

    Args:
      scene: the static tables.
      state: B environments.
      expert: from `init` or the step before.

    Returns:
      action float32 [B, 7] in [-1, 1], and the expert's next state.
    """
    chex.assert_equal_shape([state.task, expert.waypoint, expert.elapsed])
    task = task_ids.rows(scene, state.task)
    skills = jax.tree.map(jnp.asarray, table.skill_table(scene))
    waypoint = jax.tree.map(lambda column: column[task, expert.waypoint], skills)
    return follow(scene, state, expert, waypoint)


def follow(
    scene: Scene, state: EnvState, expert: ExpertState, waypoint: WaypointTable
) -> tuple[jax.Array, ExpertState]:
    """Servo towards given waypoints.

    Args:
      scene: the static tables.
      state: B environments; poses in the world.
      expert: from the step before; its `waypoint` is only counted on.
      waypoint: the current waypoint of every environment, columns [B, ...].

    Returns:
      action float32 [B, 7] in [-1, 1], and the expert's next state.
    """
    eef = jnp.full_like(waypoint.moved, scene.bodies[panda.EEF_BODY])
    hand, hand_orientation = _body_pose(state, eef)
    start = jnp.where((expert.elapsed == 0)[:, None], hand, expert.start)
    anchor, heading = _frame(state, waypoint, start)
    x, y, z = waypoint.offset[:, 0], waypoint.offset[:, 1], waypoint.offset[:, 2]
    cos, sin = jnp.cos(heading), jnp.sin(heading)
    offset = jnp.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1)
    error = anchor + offset - _body_pose(state, waypoint.moved)[0]

    # The rotation vector to the target orientation, the short way round.
    target = _target_orientation(waypoint, heading, expert.orientation)
    turn = rotation.multiply(target, rotation.inverse(hand_orientation, jnp), jnp)
    turn = jnp.where(turn[:, :1] < 0, -turn, turn)
    turn = rotation.to_axis_angle(turn, jnp)

    translation = _translation_command(error, waypoint)
    turning = jnp.clip(ROTATION_GAIN * turn / osc.ROTATION_SCALE, -1.0, 1.0)
    gripper = waypoint.gripper[:, None]
    action = jnp.concatenate([translation, turning, gripper], axis=-1)

    distance = jnp.linalg.norm(_body_pose(state, waypoint.held)[0] - hand, axis=-1)
    slipped = distance > waypoint.slip_distance
    elapsed = expert.elapsed + 1
    arrived = jnp.linalg.norm(error, axis=-1) < waypoint.tolerance
    turned = jnp.linalg.norm(turn, axis=-1) < waypoint.angle_tolerance
    done = arrived & turned & (elapsed >= waypoint.min_steps)
    done = done | (elapsed >= waypoint.max_steps)
    move = jnp.where(slipped, -waypoint.rewind, done.astype(jnp.int32))
    return action, ExpertState(
        waypoint=expert.waypoint + move,
        elapsed=jnp.where(move == 0, elapsed, 0),
        start=start,
        orientation=target,
    )


def _body_pose(state: EnvState, body: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Position [B, 3] and quaternion [B, 4] of one body [B] for each environment."""
    index = body[:, None, None]
    position = jnp.take_along_axis(state.physics.xpos, index, axis=1)
    quaternion = jnp.take_along_axis(state.physics.xquat, index, axis=1)
    return position[:, 0], quaternion[:, 0]


def _frame(
    state: EnvState, waypoint: WaypointTable, start: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The anchor's position [B, 3] and the heading [B] of the waypoint's frame."""
    position, quaternion = _body_pose(state, jnp.maximum(waypoint.anchor, 0))
    position = jnp.where((waypoint.anchor == table.AT_START)[:, None], start, position)
    position = jnp.where((waypoint.anchor == table.AT_WORLD)[:, None], 0.0, position)
    axis = jnp.maximum(waypoint.frame - table.FIRST_AXIS, 0)[:, None, None]
    columns = rotation.matrix(quaternion, jnp)
    direction = jnp.take_along_axis(columns, axis, axis=2)[:, :, 0]
    heading = jnp.arctan2(direction[:, 1], direction[:, 0])
    heading = jnp.where(waypoint.frame >= table.FIRST_AXIS, heading, 0.0)
    return position, heading + waypoint.heading_offset


def _target_orientation(
    waypoint: WaypointTable, heading: jax.Array, last: jax.Array
) -> jax.Array:
    """The hand's target quaternion [B, 4], given the last one.

    Relative to an object's axis two are equally good, with the fingers swapped: the one
    closer to the hand's home is taken, and on a tie the one closer to the last.
    """
    zero = jnp.zeros_like(heading)
    roll, pitch = waypoint.hand[:, 0], waypoint.hand[:, 1]
    yaw = waypoint.hand[:, 2] + heading
    turn = jnp.broadcast_to(jnp.array(_TOP_DOWN), last.shape)
    for about in ((roll, zero, zero), (zero, pitch, zero), (zero, zero, yaw)):
        step = rotation.from_axis_angle(jnp.stack(about, -1), jnp)
        turn = rotation.multiply(step, turn, jnp)

    def goal_proximity(turn: jax.Array) -> jax.Array:
        home = jnp.abs(jnp.sum(turn * jnp.array(_TOP_DOWN), axis=-1))
        return home + ORIENTATION_HYSTERESIS * jnp.abs(jnp.sum(turn * last, axis=-1))

    swap = jnp.broadcast_to(jnp.array(_FINGERS_SWAPPED), last.shape)
    swapped = rotation.multiply(turn, swap, jnp)
    better = goal_proximity(swapped) > goal_proximity(turn)
    free = waypoint.frame >= table.FIRST_AXIS
    turn = jnp.where((better & free)[:, None], swapped, turn)
    steady = (waypoint.frame == table.KEPT) | jnp.isnan(waypoint.hand[:, 0])
    return jnp.where(steady[:, None], last, turn)


def _translation_command(error: jax.Array, waypoint: WaypointTable) -> jax.Array:
    """The commanded translation [B, 3], in proportion to the error up to the speed."""
    command = POSITION_GAIN * error / osc.POSITION_SCALE
    presses = ~jnp.isnan(waypoint.press_command)
    command = command.at[:, 2].set(jnp.where(presses, 0.0, command[:, 2]))
    largest = jnp.max(jnp.abs(command), axis=-1, keepdims=True)
    limit = waypoint.speed[:, None]
    command = command * jnp.minimum(1.0, limit / jnp.maximum(largest, 1e-6))
    pressed = jnp.where(presses, waypoint.press_command, command[:, 2])
    return command.at[:, 2].set(pressed)
