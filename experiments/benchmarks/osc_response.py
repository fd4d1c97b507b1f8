"""Step responses of the controller, against those recorded in the real LIBERO.

Run: `python -m experiments.benchmarks.osc_response [--physics_preset=faithful]`, and
`--engine=mjx`. From the first initial state of libero_goal's task 0, after the ten
waiting steps: five steps of a full command in one direction and fifteen of zeros (the
gripper: twenty closed, twenty open).
Prints one JSON object: the largest deviation of any step.
"""

from typing import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app
from scipy.spatial.transform import Rotation

from experiments.benchmarks.lib import libero_recordings
from experiments.benchmarks.lib.flags import make_scene, print_report
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.scene import Scene

AXES = {"x": 0, "y": 1, "z": 2, "rx": 3}
PULSE, STEPS, GRIP_STEPS = 5, 20, 40  # control steps
HAND_BODY = "right_hand"


def commands() -> np.ndarray:
    """float32 [T, 5, 7]: the four pulses and the gripper's closing and opening."""
    actions = np.zeros((GRIP_STEPS, len(AXES) + 1, env.ACTION_SIZE), np.float32)
    for row, axis in enumerate(AXES.values()):
        actions[:PULSE, row, axis] = 1.0
    actions[:, : len(AXES), 6] = -1.0
    actions[: GRIP_STEPS // 2, -1, 6] = 1.0
    actions[GRIP_STEPS // 2 :, -1, 6] = -1.0
    return actions


def respond(scene: Scene, qpos: np.ndarray) -> dict[str, np.ndarray]:
    """Hand positions, orientations and fingers, [T + 1, 5, ...] each."""
    actions = jnp.asarray(commands())
    batch = actions.shape[1]

    def poses(state: env.EnvState) -> dict[str, jax.Array]:
        return {
            "position": state.physics.xpos[:, scene.bodies[panda.EEF_BODY]],
            "quaternion": state.physics.xquat[:, scene.bodies[HAND_BODY]],
            "fingers": state.physics.qpos[:, 7:9],
        }

    def run(qpos: jax.Array) -> dict[str, jax.Array]:
        task, still = jnp.zeros(batch, int), jnp.zeros((batch, scene.model.nv))
        start = env.settle(scene, env.restore(scene, task, qpos, still))

        def one(state: env.EnvState, action: jax.Array) -> tuple:
            after, _ = env.step(scene, state, action)
            return after, poses(after)

        later: dict[str, jax.Array] = jax.lax.scan(one, start, actions)[1]
        first = poses(start)
        return {
            name: jnp.concatenate([first[name][None], later[name]]) for name in later
        }

    copies = jnp.tile(jnp.asarray(qpos), (batch, 1))
    return jax.tree.map(np.asarray, compilation.jit(run)(copies))


def deviations(ours: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest deviation of every response from the recording."""
    # For x, y, z and rx: NAME_0 positions of the hand [21, 3] and NAME_1 quaternions
    # [21, 4]; grip_0 positions of the fingers [41, 2].
    with np.load(libero_recordings.FOLDER / "osc_step_response.npz") as file:
        recorded, largest = dict(file), {}
    for row, name in enumerate(AXES):
        count = len(recorded[f"{name}_0"])
        difference = ours["position"][:count, row] - recorded[f"{name}_0"]
        largest[f"{name}_position_mm"] = 1e3 * np.linalg.norm(difference, axis=1).max()
        rotation = Rotation.from_quat(
            np.roll(ours["quaternion"][:count, row], -1, axis=1)
        )
        error = rotation * Rotation.from_quat(recorded[f"{name}_1"]).inv()
        largest[f"{name}_rotation_deg"] = np.degrees(error.magnitude().max())
    difference = ours["fingers"][: len(recorded["grip_0"]), -1] - recorded["grip_0"]
    largest["gripper_mm"] = 1e3 * np.abs(difference).max()
    return {name: round(float(value), 3) for name, value in largest.items()}


def first_state(scene: Scene) -> np.ndarray:
    """LIBERO's first recorded `qpos` [nq] of the task."""
    rest = next(
        rest
        for rest in libero_recordings.rest_states()
        if (rest.suite, rest.task) == ("libero_goal", 0)
    )
    return rest.state[1 : 1 + scene.model.nq]


def main(argv: Sequence[str]) -> None:
    """Run all responses at once; print the deviations."""
    del argv
    scene = make_scene("libero_goal", (0,))
    largest = deviations(respond(scene, first_state(scene)))
    print_report("osc_response", scene.engine, **largest)


if __name__ == "__main__":
    app.run(main)
