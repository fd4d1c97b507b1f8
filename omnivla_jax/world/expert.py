"""A scripted expert: tasks as rows of waypoints, closed loop on state, compiled.

It acts through the same 7-D OSC_POSE commands as the policy; nothing is teleported.
The waypoints follow how a script solved the tasks in the real LIBERO.
Axes: B environments, S scripts, P phases; lengths in m, angles in rad.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import control, panda, rotation
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState

POSITION_GAIN, ROTATION_GAIN = 2.0, 1.2
OPEN, CLOSED = -1.0, 1.0
START, POINT = "start", "point"  # anchors that are no body
_TOP_DOWN = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
_FOREVER = 10_000


class Phase(NamedTuple):
    """Servo one body to a point near another until it arrives or time is up."""

    anchor: str  # a body, START (the hand when the phase began) or POINT (the world)
    offset: tuple[float, float, float]
    gripper: float = OPEN
    moved: str = panda.EEF_BODY  # the body that is to arrive: the hand or what it holds
    speed: float = 1.0  # largest component of the translation command
    tolerance: float = 0.01
    at_least: int = 0  # control steps
    at_most: int = 40
    tilt: float = 0.0  # about y
    yaw: float = 0.0  # about z
    press: float = math.nan  # a constant z command instead of the servo's
    turns: float = 0.0  # > 0: orbit the anchor with the knob, leading by this angle


class Memory(NamedTuple):
    """What the expert carries from step to step."""

    phase: jax.Array  # int32 [B]
    elapsed: jax.Array  # int32 [B]: control steps in this phase
    start: jax.Array  # float32 [B, 3]: the hand when the phase began


_TILT = math.radians(25)
_KNOB_GRIP = (0.018, 0.0, 0.038)
_PLATE_YAW = math.radians(70)
_RIM = 0.047

_BOWL = "akita_black_bowl_1"
_RETREAT = Phase(START, (0, 0, 0.1), OPEN, tolerance=0.0, at_most=_FOREVER)


def _wait(gripper: float, steps: int) -> Phase:
    """Hold still while the fingers move."""
    return Phase(
        START, (0, 0, 0), gripper, tolerance=1.0, at_least=steps, at_most=steps
    )


def _carry_bowl(target: str, ahead: float, height: float) -> tuple[Phase, ...]:
    """Grasp the bowl's rim, one finger inside, and set the bowl down.

    It lands `ahead` along x of the target body's origin, `height` above it. Above the
    target it is the bowl, not the hand, that must arrive.
    """
    return (
        Phase(_BOWL, (0, _RIM, 0.10), tolerance=0.02),
        Phase(_BOWL, (0, _RIM, 0.036), tolerance=0.004, at_most=16),
        _wait(CLOSED, 9),
        Phase(START, (0, 0, 0.08), CLOSED, tolerance=0.02),
        Phase(target, (ahead, 0, 0.075), CLOSED, moved=_BOWL, tolerance=0.012),
        Phase(
            target,
            (ahead, 0, height),
            CLOSED,
            moved=_BOWL,
            speed=0.5,
            tolerance=0.004,
            at_most=16,
        ),
        _wait(OPEN, 8),
        _RETREAT,
    )


SCRIPTS: dict[str, tuple[Phase, ...]] = {
    "push the plate to the front of the stove": (
        Phase("plate_1", (0, 0, 0.07), yaw=_PLATE_YAW, tolerance=0.02),
        Phase("plate_1", (0, 0, 0.022), yaw=_PLATE_YAW, tolerance=0.004, at_most=16),
        Phase(
            "plate_1", (0, 0, 0.0), yaw=_PLATE_YAW, press=-0.15, at_least=4, at_most=4
        ),
        Phase(
            POINT,
            (-0.05, 0.215, 0.9),
            moved="plate_1",
            yaw=_PLATE_YAW,
            press=-0.15,
            speed=0.7,
            tolerance=0.0,
            at_most=_FOREVER,
        ),
    ),
    "turn on the stove": (
        Phase("flat_stove_1", (0.08, 0.0, 0.16), tilt=_TILT, tolerance=0.04),
        Phase("flat_stove_1", (0.018, 0, 0.09), tilt=_TILT, tolerance=0.015),
        Phase("flat_stove_1", _KNOB_GRIP, tilt=_TILT, tolerance=0.004, at_most=16),
        Phase(
            "flat_stove_1",
            _KNOB_GRIP,
            CLOSED,
            tilt=_TILT,
            tolerance=1.0,
            at_least=8,
            at_most=8,
        ),
        Phase(
            "flat_stove_1",
            _KNOB_GRIP,
            CLOSED,
            tilt=_TILT,
            tolerance=0.0,
            at_most=_FOREVER,
            turns=0.12,
        ),
    ),
    "put the bowl on the plate": _carry_bowl("plate_1", 0.0, 0.012),
    "put the bowl on the stove": _carry_bowl("flat_stove_1", 0.15, 0.034),
    "put the cream cheese in the bowl": (
        Phase("cream_cheese_1", (0, 0, 0.10), tolerance=0.02),
        Phase("cream_cheese_1", (0, 0, 0.003), tolerance=0.004, at_most=18),
        _wait(CLOSED, 9),
        Phase(START, (0, 0, 0.13), CLOSED, tolerance=0.02),
        Phase(_BOWL, (0, 0, 0.14), CLOSED, moved="cream_cheese_1", tolerance=0.012),
        Phase(
            _BOWL,
            (0, 0, 0.07),
            CLOSED,
            moved="cream_cheese_1",
            tolerance=0.01,
            at_most=16,
        ),
        _wait(OPEN, 10),
        _RETREAT,
    ),
}


def start(state: EnvState) -> Memory:
    """The expert's memory before its first action."""
    zeros = jnp.zeros_like(state.task)
    return Memory(zeros, zeros, jnp.zeros(zeros.shape + (3,)))


def act(scene: Scene, state: EnvState, memory: Memory) -> tuple[jax.Array, Memory]:
    """The next action [B, 7] in [-1, 1], and the memory after it.

    Every environment follows the script of its own task; without one it stands
    still, see `require_scripts`.
    """
    table = _table(scene)
    hand = state.physics.xpos[:, scene.bodies[panda.EEF_BODY]]
    begins = memory.elapsed == 0
    origin = jnp.where(begins[:, None], hand, memory.start)
    row = jax.tree.map(lambda column: column[state.task, memory.phase], table)
    knob = state.physics.qpos[:, _knob(scene)]
    spin = jnp.where(row.turns > 0, knob + row.turns, 0.0)
    target = _anchor(state, row, origin) + _about_z(spin, row.offset)
    moved = jnp.take_along_axis(state.physics.xpos, row.moved[:, None, None], axis=1)[
        :, 0
    ]
    error = target - moved
    action = jnp.concatenate(
        [
            _translation(error, row),
            _rotation(scene, state, row, spin),
            row.gripper[:, None],
        ],
        axis=-1,
    )
    return action, _advance(memory, row, error, origin)


def require_scripts(scene: Scene, tasks: tuple[int, ...]) -> None:
    """Raise a ValueError that names the tasks nobody has written a script for."""
    missing = [
        scene.tasks[task].instruction
        for task in tasks
        if scene.tasks[task].instruction not in SCRIPTS
    ]
    if missing:
        known = [i for i, t in enumerate(scene.tasks) if t.instruction in SCRIPTS]
        raise ValueError(f"No script for {missing}: choose among tasks {known}.")


class _Table(NamedTuple):
    """The scripts as columns [S, P], one row of S per task of the suite."""

    anchor: Any  # int32: body id, -1 START, -2 POINT
    offset: Any  # float32 [S, P, 3]
    gripper: Any
    moved: Any  # int32 body id
    speed: Any
    tolerance: Any
    at_least: Any
    at_most: Any
    tilt: Any
    yaw: Any
    press: Any
    turns: Any


@functools.lru_cache(maxsize=4)
def _host_table(scene: Scene) -> _Table:
    longest = max(len(script) for script in SCRIPTS.values())
    idle = Phase(START, (0, 0, 0), tolerance=0.0, at_most=_FOREVER)
    rows = []
    for task in scene.tasks:
        script = SCRIPTS.get(task.instruction, (idle,))
        rows.append(script + (script[-1],) * (longest - len(script)))
    special = {START: -1, POINT: -2}

    def column(name: str) -> np.ndarray:
        values = [[getattr(phase, name) for phase in script] for script in rows]
        if name in ("anchor", "moved"):
            bodies = {**scene.bodies, **special}
            return np.array([[bodies[v] for v in script] for script in values])
        integer = name in ("at_least", "at_most")
        return np.array(values, np.int32 if integer else np.float32)

    return _Table(*(column(name) for name in _Table._fields))


def _table(scene: Scene) -> _Table:
    return jax.tree.map(jnp.asarray, _host_table(scene))


def _knob(scene: Scene) -> int:
    return scene.joints["flat_stove_1_button"][0]


def _anchor(state: EnvState, row: _Table, origin: jax.Array) -> jax.Array:
    body = jnp.maximum(row.anchor, 0)[:, None, None]
    position = jnp.take_along_axis(state.physics.xpos, body, axis=1)[:, 0]
    position = jnp.where((row.anchor == -1)[:, None], origin, position)
    return jnp.where((row.anchor == -2)[:, None], 0.0, position)


def _about_z(angle: jax.Array, vector: jax.Array) -> jax.Array:
    x, y, z = vector[:, 0], vector[:, 1], vector[:, 2]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1)


def _translation(error: jax.Array, row: _Table) -> jax.Array:
    command = POSITION_GAIN * error / control.POSITION_SCALE
    presses = ~jnp.isnan(row.press)
    command = command.at[:, 2].set(jnp.where(presses, 0.0, command[:, 2]))
    largest = jnp.max(jnp.abs(command), axis=-1, keepdims=True)
    limit = row.speed[:, None]
    command = command * jnp.minimum(1.0, limit / jnp.maximum(largest, 1e-6))
    return command.at[:, 2].set(jnp.where(presses, row.press, command[:, 2]))


def _rotation(scene: Scene, state: EnvState, row: _Table, spin: jax.Array) -> jax.Array:
    yaw, zero = row.yaw + spin, jnp.zeros_like(spin)
    turn = rotation.from_axis_angle(jnp.stack([zero, zero, yaw], -1), jnp)
    lean = rotation.from_axis_angle(jnp.stack([zero, row.tilt, zero], -1), jnp)
    wanted = rotation.matrix(rotation.multiply(turn, lean, jnp), jnp) @ _TOP_DOWN
    current = rotation.matrix(state.physics.xquat[:, scene.bodies[panda.EEF_BODY]], jnp)
    error = rotation.rotation_error(current, wanted, jnp)
    # sin(angle) flattens beyond 90 degrees; no script turns that far at once.
    command = ROTATION_GAIN * error / control.ROTATION_SCALE
    return jnp.clip(command, -1.0, 1.0)


def _advance(
    memory: Memory, row: _Table, error: jax.Array, origin: jax.Array
) -> Memory:
    elapsed = memory.elapsed + 1
    distance = jnp.linalg.norm(error, axis=-1)
    arrived = (distance < row.tolerance) & (elapsed >= row.at_least)
    done = arrived | (elapsed >= row.at_most)
    return Memory(
        phase=memory.phase + done.astype(jnp.int32),
        elapsed=jnp.where(done, 0, elapsed),
        start=origin,
    )
