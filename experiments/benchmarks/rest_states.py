"""Rest poses of objects after ten waiting steps, against those of the real LIBERO.

Run: `python -m experiments.benchmarks.rest_states`, with `--physics_preset=faithful` or
`--engine=mjx`. `--folder` takes other recordings in the same format.
Prints one JSON object: the share of objects within 4 mm in z, 8 mm in xy and 5 degrees
of tilt, and each object outside.
"""

from typing import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app

from experiments.benchmarks.lib import libero_recordings, recordings_folder
from experiments.benchmarks.lib.flags import make_scene, print_report
from experiments.benchmarks.lib.real_libero.differences import REST_LIMITS, rest_errors
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.scene import Scene


def settle(scene: Scene, rest: libero_recordings.RestState) -> env.EnvState:
    """The recorded initial state after the ten waiting steps."""

    def run(qpos: jax.Array, qvel: jax.Array) -> env.EnvState:
        task = jnp.array([rest.task])
        poses = {
            name: (jnp.asarray(position)[None], jnp.asarray(quaternion)[None])
            for name, (position, quaternion) in rest.fixtures.items()
        }
        start = env.restore(scene, task, qpos, qvel, fixtures=poses)
        return env.settle(scene, start)

    width = scene.model.nq
    qpos, qvel = rest.state[1 : 1 + width], rest.state[1 + width :]
    return compilation.jit(run)(jnp.asarray(qpos)[None], jnp.asarray(qvel)[None])


def deviations(
    scene: Scene, rest: libero_recordings.RestState, state: env.EnvState
) -> Iterator[dict]:
    """One row per object: z and xy in mm, tilt in degrees."""
    xpos, xquat = np.asarray(state.physics.xpos), np.asarray(state.physics.xquat)
    for name, (position, quaternion) in rest.objects.items():
        body = scene.bodies[name]
        mine = xpos[:, body], xquat[:, body]
        errors = rest_errors(*mine, position[None], quaternion[None])
        yield {
            "object": f"{rest.suite}/{rest.task}/{name}",
            **{name: round(float(error[0]), 2) for name, error in errors.items()},
        }


def main(argv: Sequence[str]) -> None:
    """Settle every recorded state; print the share within the limits."""
    del argv
    rows = []
    folder = recordings_folder.chosen(libero_recordings.FOLDER)
    for rest in libero_recordings.rest_states(folder):
        scene = make_scene(rest.suite, (rest.task,))
        rows += list(deviations(scene, rest, settle(scene, rest)))
    outside = [
        row
        for row in rows
        if any(row[name] > most for name, most in REST_LIMITS.items())
    ]
    print_report(
        "rest_states",
        scene.engine,
        objects=len(rows),
        within=1 - len(outside) / len(rows),
        outside=outside,
    )


if __name__ == "__main__":
    app.run(main)
