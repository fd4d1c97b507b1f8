"""Rest poses of objects after ten waiting steps, against those of the real LIBERO.

Run: `python -m experiments.benchmarks.rest_states`, with `--physics_preset=faithful` or
`--engine=mjx`.
Prints one JSON object: the share of objects within 4 mm in z, 8 mm in xy and 5 degrees
of tilt, and each object outside.
"""

from typing import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app
from scipy.spatial.transform import Rotation

from experiments.benchmarks.lib import libero_recordings
from experiments.benchmarks.lib.flags import make_scene, print_report
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.scene import Scene

LIMITS = {"z_mm": 4.0, "xy_mm": 8.0, "tilt_deg": 5.0}


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
    for name, (position, quaternion) in rest.objects.items():
        body = scene.bodies[name]
        moved = np.asarray(state.physics.xpos[0, body]) - position
        ups = [
            Rotation.from_quat(np.roll(np.asarray(q, float), -1)).inv().apply([0, 0, 1])
            for q in (state.physics.xquat[0, body], quaternion)
        ]
        tilt = np.degrees(np.arccos(np.clip(ups[0] @ ups[1], -1, 1)))
        yield {
            "object": f"{rest.suite}/{rest.task}/{name}",
            "z_mm": round(1e3 * abs(float(moved[2])), 2),
            "xy_mm": round(1e3 * float(np.hypot(*moved[:2])), 2),
            "tilt_deg": round(float(tilt), 2),
        }


def main(argv: Sequence[str]) -> None:
    """Settle every recorded state; print the share within the limits."""
    del argv
    rows = []
    for rest in libero_recordings.rest_states():
        scene = make_scene(rest.suite, (rest.task,))
        rows += list(deviations(scene, rest, settle(scene, rest)))
    outside = [
        row for row in rows if any(row[name] > most for name, most in LIMITS.items())
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
