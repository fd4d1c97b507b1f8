"""Real LIBERO episodes replayed open loop: they must succeed here when they did there.

`tests/data/recorded_libero_goal.npz`: trial 0 of libero_goal tasks 5 (push the plate)
and 7 (turn on the stove), recorded with the unmodified benchmark (LIBERO, MIT;
robosuite 1.4.0, MuJoCo 3.3.7) under a scripted controller. Per task: the initial
qpos, the fixtures' poses, the actions up to a few steps past the first success
(including ten waiting steps), that success's step, and the hand's path.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env, panda

TASKS = (5, 7)
BEFORE_CONTACT = 30  # control steps


@pytest.fixture(scope="module")
def recorded():
    path = Path(__file__).parents[1] / "data" / "recorded_libero_goal.npz"
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def replayed(scene, recorded):
    """Per task: the success flags [T] and the hand's path [T, 3], both in one batch."""
    longest = max(len(recorded[f"actions_{task}"]) for task in TASKS)
    actions = np.zeros((longest, len(TASKS), 7), np.float32)
    for row, task in enumerate(TASKS):
        actions[: len(recorded[f"actions_{task}"]), row] = recorded[f"actions_{task}"]

    def both(name):
        return jnp.asarray(np.stack([recorded[f"{name}_{task}"] for task in TASKS]))

    position, quaternion = both("fixture_pos"), both("fixture_quat")
    fixtures = {
        str(name): (position[:, i], quaternion[:, i])
        for i, name in enumerate(recorded["fixture_names"])
    }

    def run(qpos, actions):
        start = env.restore(
            scene,
            jnp.array(TASKS),
            qpos,
            jnp.zeros((len(TASKS), scene.model.nv)),
            fixtures=fixtures,
        )

        def one(state, action):
            state, _ = env.step(scene, state, action)
            hand = state.physics.xpos[:, scene.bodies[panda.EEF_BODY]]
            return state, (state.success, hand)

        return jax.lax.scan(one, start, actions)[1]

    success, hand = compilation.jit(run)(both("qpos"), jnp.asarray(actions))
    return np.asarray(success), np.asarray(hand)


@pytest.mark.parametrize("task", TASKS)
def test_the_recorded_actions_succeed_when_they_did(recorded, replayed, task):
    success = replayed[0][:, TASKS.index(task)]
    assert success.any(), f"task {task} never succeeded"
    step = int(success.argmax()) + 1
    assert abs(step - int(recorded[f"success_step_{task}"])) <= 5


@pytest.mark.parametrize("task", TASKS)
def test_the_hand_follows_the_recorded_path(recorded, replayed, task):
    hand = replayed[1][:BEFORE_CONTACT, TASKS.index(task)]
    path = recorded[f"eef_pos_{task}"][1 : BEFORE_CONTACT + 1]
    # Substeps of 5 ms instead of 2 make the hand lead by a few mm while it moves.
    assert np.linalg.norm(hand - path, axis=-1).max() < 5e-3
