"""The servo: from a phase and the state to the next action, for a batch.

Axes: B environments; lengths in m, angles in rad; quaternions wxyz.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim import osc, rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.goals import task_ids
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.world.expert import table
from omnivla_jax.world.expert.table import Rows

POSITION_GAIN, ROTATION_GAIN = 2.0, 1.2
LOYALTY = 0.3  # weight of the last orientation against home where both would do
_TOP_DOWN = (0.0, 0.5**0.5, 0.5**0.5, 0.0)  # x to y, y to x, z to -z
_FINGERS_SWAPPED = (0.0, 0.0, 0.0, 1.0)  # half a turn about the pointing direction


class Memory(NamedTuple):
    """What the expert carries from step to step."""

    phase: jax.Array  # int32 [B]
    elapsed: jax.Array  # int32 [B]: control steps in this phase
    start: jax.Array  # float32 [B, 3]: the hand when the phase began
    turn: jax.Array  # float32 [B, 4]: how the hand was last wanted


def start(state: EnvState) -> Memory:
    """The expert's memory before its first action."""
    zeros = jnp.zeros_like(state.task)
    turn = jnp.broadcast_to(jnp.array(_TOP_DOWN), zeros.shape + (4,))
    return Memory(zeros, zeros, jnp.zeros(zeros.shape + (3,)), turn)


def act(scene: Scene, state: EnvState, memory: Memory) -> tuple[jax.Array, Memory]:
    """The next action [B, 7] in [-1, 1], and the memory after it.

    Every environment follows the script of its own task; without one it stands
    still, see `require_scripts`.
    """
    chex.assert_equal_shape([state.task, memory.phase, memory.elapsed])
    task = task_ids.rows(scene, state.task)
    row = jax.tree.map(lambda c: c[task, memory.phase], table.rows(scene))
    return follow(scene, state, memory, row)


def follow(
    scene: Scene, state: EnvState, memory: Memory, row: Rows
) -> tuple[jax.Array, Memory]:
    """The action and the memory after it, given the phase `row` of every environment.

    Args:
      scene: the static tables.
      state: the batch's state; poses in the world.
      memory: what the step before left; of it `phase` is only counted on.
      row: columns [B].
    """
    hand, hand_turn = _pose(state, jnp.full_like(row.moved, _hand(scene)))
    began = jnp.where((memory.elapsed == 0)[:, None], hand, memory.start)
    anchor, heading = _frame(state, row, began)
    error = anchor + _about_z(heading, row.offset) - _pose(state, row.moved)[0]
    wanted = _wanted_turn(row, heading, memory.turn)
    left = _rotation_left(hand_turn, wanted)
    action = jnp.concatenate(
        [_translation(error, row), _capped(left), row.gripper[:, None]], axis=-1
    )
    distance = jnp.linalg.norm(_pose(state, row.held)[0] - hand, axis=-1)
    after = _advance(memory, row, error, left, lost=distance > row.reach)
    return action, after._replace(start=began, turn=wanted)


def _hand(scene: Scene) -> int:
    return scene.bodies[panda.EEF_BODY]


def _pose(state: EnvState, body: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Position [B, 3] and quaternion [B, 4] of one body [B] for each environment."""
    index = body[:, None, None]
    position = jnp.take_along_axis(state.physics.xpos, index, axis=1)
    quaternion = jnp.take_along_axis(state.physics.xquat, index, axis=1)
    return position[:, 0], quaternion[:, 0]


def _frame(state: EnvState, row: Rows, began: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The anchor's position [B, 3] and the heading [B] of the phase's frame."""
    position, quaternion = _pose(state, jnp.maximum(row.anchor, 0))
    position = jnp.where((row.anchor == table.AT_START)[:, None], began, position)
    position = jnp.where((row.anchor == table.AT_WORLD)[:, None], 0.0, position)
    axis = jnp.maximum(row.frame - table.FIRST_AXIS, 0)[:, None, None]
    columns = rotation.matrix(quaternion, jnp)
    direction = jnp.take_along_axis(columns, axis, axis=2)[:, :, 0]
    heading = jnp.arctan2(direction[:, 1], direction[:, 0])
    heading = jnp.where(row.frame >= table.FIRST_AXIS, heading, 0.0)
    return position, heading + row.lead


def _about_z(angle: jax.Array, vector: jax.Array) -> jax.Array:
    x, y, z = vector[:, 0], vector[:, 1], vector[:, 2]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1)


def _wanted_turn(row: Rows, heading: jax.Array, before: jax.Array) -> jax.Array:
    """The hand's orientation [B, 4].

    Relative to an object's axis, two are as good, with the fingers swapped: the nearer
    one to the hand's home, and on a tie to the one `before`.
    """
    zero = jnp.zeros_like(heading)
    roll, pitch, yaw = row.hand[:, 0], row.hand[:, 1], row.hand[:, 2] + heading
    turn = jnp.broadcast_to(jnp.array(_TOP_DOWN), before.shape)
    for about in ((roll, zero, zero), (zero, pitch, zero), (zero, zero, yaw)):
        step = rotation.from_axis_angle(jnp.stack(about, -1), jnp)
        turn = rotation.multiply(step, turn, jnp)
    swap = jnp.broadcast_to(jnp.array(_FINGERS_SWAPPED), before.shape)
    swapped = rotation.multiply(turn, swap, jnp)
    better = _nearness(swapped, before) > _nearness(turn, before)
    free = row.frame >= table.FIRST_AXIS
    turn = jnp.where((better & free)[:, None], swapped, turn)
    return jnp.where((row.frame == table.KEPT)[:, None], before, turn)


def _nearness(turn: jax.Array, before: jax.Array) -> jax.Array:
    home = jnp.abs(jnp.sum(turn * jnp.array(_TOP_DOWN), axis=-1))
    return home + LOYALTY * jnp.abs(jnp.sum(turn * before, axis=-1))


def _rotation_left(current: jax.Array, wanted: jax.Array) -> jax.Array:
    """The rotation vector [B, 3] from `current` to `wanted`, the short way round."""
    left = rotation.multiply(wanted, rotation.inverse(current, jnp), jnp)
    left = jnp.where(left[:, :1] < 0, -left, left)
    return rotation.to_axis_angle(left, jnp)


def _translation(error: jax.Array, row: Rows) -> jax.Array:
    command = POSITION_GAIN * error / osc.POSITION_SCALE
    presses = ~jnp.isnan(row.press)
    command = command.at[:, 2].set(jnp.where(presses, 0.0, command[:, 2]))
    largest = jnp.max(jnp.abs(command), axis=-1, keepdims=True)
    limit = row.speed[:, None]
    command = command * jnp.minimum(1.0, limit / jnp.maximum(largest, 1e-6))
    return command.at[:, 2].set(jnp.where(presses, row.press, command[:, 2]))


def _capped(left: jax.Array) -> jax.Array:
    return jnp.clip(ROTATION_GAIN * left / osc.ROTATION_SCALE, -1.0, 1.0)


def _advance(
    memory: Memory, row: Rows, error: jax.Array, left: jax.Array, *, lost: jax.Array
) -> Memory:
    elapsed = memory.elapsed + 1
    near = jnp.linalg.norm(error, axis=-1) < row.tolerance
    faces = jnp.linalg.norm(left, axis=-1) < row.turned
    done = (near & faces & (elapsed >= row.at_least)) | (elapsed >= row.at_most)
    move = jnp.where(lost, -row.back, done.astype(jnp.int32))
    return memory._replace(
        phase=memory.phase + move, elapsed=jnp.where(move == 0, elapsed, 0)
    )
