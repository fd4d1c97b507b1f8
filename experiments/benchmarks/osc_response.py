"""Step responses of the controller, against those recorded in the real LIBERO.

Run: `python -m experiments.benchmarks.osc_response [--physics_preset=faithful]`, and
`--engine=mjx`. `--folder` takes other recordings in the same format, also with other
commands (`libero_recordings.step_responses`). The committed ones start from the first
initial state of libero_goal's task 0, after the ten waiting steps: five steps of a full
command in one direction and fifteen of zeros (the gripper: twenty closed, twenty open).
Prints one JSON object: the largest deviation of any step.
Axes: T control steps, R responses.
"""

from typing import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app
from scipy.spatial.transform import Rotation

from experiments.benchmarks.lib import libero_recordings, recordings_folder
from experiments.benchmarks.lib.flags import make_scene, print_report
from experiments.benchmarks.lib.libero_recordings import StepResponses
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.scene import Scene

HAND_BODY = "right_hand"


def respond(scene: Scene, recorded: StepResponses) -> dict[str, np.ndarray]:
    """Hand positions, orientations and fingers, [T + 1, R, ...] each."""
    sequences = [response.actions for response in recorded.responses.values()]
    batch, steps = len(sequences), max(map(len, sequences))
    actions = np.zeros((steps, batch, env.ACTION_SIZE), np.float32)
    for row, sequence in enumerate(sequences):
        actions[: len(sequence), row] = sequence

    def poses(state: env.EnvState) -> dict[str, jax.Array]:
        return {
            "position": state.physics.xpos[:, scene.bodies[panda.EEF_BODY]],
            "quaternion": state.physics.xquat[:, scene.bodies[HAND_BODY]],
            "fingers": state.physics.qpos[:, 7:9],
        }

    def run(qpos: jax.Array, actions: jax.Array) -> dict[str, jax.Array]:
        task = jnp.full(batch, recorded.task)
        still = jnp.zeros((batch, scene.model.nv))
        start = env.settle(scene, env.restore(scene, task, qpos, still))

        def one(state: env.EnvState, action: jax.Array) -> tuple:
            after, _ = env.step(scene, state, action)
            return after, poses(after)

        later: dict[str, jax.Array] = jax.lax.scan(one, start, actions)[1]
        first = poses(start)
        return {
            name: jnp.concatenate([first[name][None], later[name]]) for name in later
        }

    qpos = recorded.state[1 : 1 + scene.model.nq]
    copies = jnp.tile(jnp.asarray(qpos), (batch, 1))
    return jax.tree.map(np.asarray, compilation.jit(run)(copies, jnp.asarray(actions)))


def deviations(
    ours: dict[str, np.ndarray], recorded: StepResponses
) -> dict[str, float]:
    """The largest deviation of every response from the recording."""
    largest = {}
    for row, (name, response) in enumerate(recorded.responses.items()):
        count = len(response.positions)
        if response.quaternions is None:
            difference = ours["fingers"][:count, row] - response.positions
            largest[f"{name}_gripper_mm"] = 1e3 * np.abs(difference).max()
            continue
        difference = ours["position"][:count, row] - response.positions
        largest[f"{name}_position_mm"] = 1e3 * np.linalg.norm(difference, axis=1).max()
        rotation = Rotation.from_quat(
            np.roll(ours["quaternion"][:count, row], -1, axis=1)
        )
        error = rotation * Rotation.from_quat(response.quaternions).inv()
        largest[f"{name}_rotation_deg"] = np.degrees(error.magnitude().max())
    return {name: round(float(value), 3) for name, value in largest.items()}


def main(argv: Sequence[str]) -> None:
    """Run all responses at once; print the deviations."""
    del argv
    folder = recordings_folder.chosen(libero_recordings.FOLDER)
    recorded = libero_recordings.step_responses(folder)
    scene = make_scene(recorded.suite, (recorded.task,))
    largest = deviations(respond(scene, recorded), recorded)
    print_report("osc_response", scene.engine, **largest)


if __name__ == "__main__":
    app.run(main)
