"""An engine against C MuJoCo from the same states under the same actions, by attribute.

Run: `python -m experiments.benchmarks.engine_parity [--suite=...]`, with
`--physics_preset=faithful` for another integrator, `--engine=mjx_warp` for an engine
other than MJX.
A hundred control steps of smooth random motion above everything, so that the robot
touches nothing; the objects rest on the table. Prints one JSON object: the largest
difference of any environment at any step.
"""

from typing import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.lib.flags import chosen_engine, make_scene, print_report
from experiments.benchmarks.lib.random_rollout import initial_states
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.scene import Scene

_SUITE = flags.DEFINE_string("suite", "libero_goal", "Suite of the scene.")
_TASK = flags.DEFINE_integer("task", 0, "Row of the suite.")
ENVIRONMENTS, STEPS = 4, 100
AMPLITUDE, PERIOD = 0.25, 25  # of the commands; control steps


def commands() -> np.ndarray:
    """float32 [T, B, 7]: sines in every direction, of a few centimetres at most."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (1, ENVIRONMENTS, env.ACTION_SIZE))
    time = np.arange(STEPS)[:, None, None] / PERIOD
    actions = AMPLITUDE * np.sin(2 * np.pi * time + phase)
    actions[..., 6] = np.where(actions[..., 6] > 0, 1.0, -1.0)
    return actions.astype(np.float32)


def trajectory(scene: Scene, start: env.EnvState) -> dict[str, np.ndarray]:
    """Every compared attribute after every control step, [T, B, ...] each."""
    arm, fingers = panda.NUM_JOINTS, panda.NUM_JOINTS + 2

    def run(start: env.EnvState, actions: jax.Array) -> dict[str, jax.Array]:
        def one(state: env.EnvState, action: jax.Array) -> tuple:
            after, _ = env.step(scene, state, action)
            physics = after.physics
            return after, {
                "qpos_arm": physics.qpos[:, :arm],
                "qpos_fingers": physics.qpos[:, arm:fingers],
                "qpos_objects": physics.qpos[:, fingers:],
                "qvel_arm": physics.qvel[:, :arm],
                "xpos": physics.xpos,
                "xquat": physics.xquat,
                "gripper": physics.gripper,
            }

        return jax.lax.scan(one, start, actions)[1]

    rows = compilation.jit(run)(start, jnp.asarray(commands()))
    return jax.tree.map(np.asarray, rows)


def main(argv: Sequence[str]) -> None:
    """Step each engine; print the differences."""
    del argv
    rows = (_TASK.value,)
    reference = make_scene(_SUITE.value, rows, engine="mujoco")
    other = make_scene(_SUITE.value, rows, engine=chosen_engine("mujoco"))
    start = initial_states(reference, ENVIRONMENTS)
    theirs, ours = trajectory(reference, start), trajectory(other, start)
    differences = {
        name: float(f"{np.abs(ours[name] - theirs[name]).max():.2e}") for name in ours
    }
    print_report("engine_parity", f"{other.engine} against mujoco", **differences)


if __name__ == "__main__":
    app.run(main)
