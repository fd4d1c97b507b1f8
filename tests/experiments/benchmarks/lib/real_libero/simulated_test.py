"""Our simulator behind the real LIBERO's interface shows what policies see here."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.lib import libero_recordings
from experiments.benchmarks.lib.real_libero.simulated import SimulatedLibero
from experiments.real_libero import episodes
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.world import proprioception

TASK = 0


@pytest.fixture(scope="module")
def rest():
    return next(r for r in libero_recordings.rest_states() if r.suite == "libero_goal")


@pytest.fixture(scope="module")
def scene():
    return scenes.make("libero_goal", tasks=(TASK,), engine="mujoco")


def test_it_steps_as_the_environment_does(scene, rest):
    simulator = SimulatedLibero(scene, TASK)
    with pytest.raises(RuntimeError, match="reset first"):
        simulator.step(np.zeros(7))
    simulator.fixtures = rest.fixtures
    first = simulator.reset(rest.state)
    np.testing.assert_allclose(
        first.qpos, rest.state[1 : 1 + len(first.qpos)], atol=1e-6
    )
    actions = np.array([episodes.WAIT_ACTION, [1.0, 0, 0, 0, 0.5, 0, 1]])
    for action in actions:
        seen = simulator.step(action)
    poses = {n: (p[None], q[None]) for n, (p, q) in rest.fixtures.items()}
    qpos, qvel = (jnp.asarray(x, jnp.float32)[None] for x in (first.qpos, first.qvel))
    state = env.restore(scene, [TASK], qpos, qvel, fixtures=poses)
    for action in actions:
        state, _ = env.step(scene, state, jnp.asarray(action, jnp.float32)[None])
    expected = np.asarray(state.physics.qpos[0])
    np.testing.assert_allclose(seen.qpos, expected, atol=1e-5)
    shown = np.asarray(proprioception.policy_state(scene, state))[0]
    np.testing.assert_allclose(episodes.proprio(seen), shown, atol=1e-5)
    assert not seen.success and set(seen.fixtures) == set(rest.fixtures)
