"""Real LIBERO episodes replayed open loop: they must succeed here when they did there.

One recorded episode of each kind: a plate pushed, a knob turned, a drawer opened, a
bowl and boxes carried; see `experiments/benchmarks/replay.py` for all of them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import replay
from experiments.benchmarks.lib import libero_recordings
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda

pytestmark = pytest.mark.slow

EPISODES = {
    f"{episode.suite}/{episode.task}": episode
    for episode in libero_recordings.episodes()
    if episode.trial == 0
}
BEFORE_CONTACT = 30  # control steps


def _check(scene, episode):
    """Success within the recording, by the recorded actions, not by itself.

    On which step is not held: after contact small differences grow, and another
    processor's last bits are enough.
    """
    idle = episode._replace(actions=np.zeros_like(episode.actions))
    played = replay.replay(scene, [episode, idle])
    here, without = (one.step for one in played)
    assert not any(one.diverged for one in played)
    assert here != libero_recordings.NEVER, "the goal was never reached"
    assert here > episode.success_step / 2, "the hand has barely arrived by then"
    assert without == libero_recordings.NEVER, "the goal was reached without any action"


@pytest.mark.parametrize("name", EPISODES)
def test_the_recorded_actions_have_the_recorded_verdict(name):
    episode = EPISODES[name]
    scene = scenes.make(episode.suite, tasks=(episode.task,), engine="mujoco")
    _check(scene, episode)


def test_whole_suite_scenes_replay_as_well():
    episode = EPISODES["libero_object/1"]
    _check(scenes.make(episode.suite, engine="mujoco"), episode)


def test_the_hand_follows_the_recorded_path(scene):
    episode = EPISODES["libero_goal/7"]
    folder = libero_recordings.FOLDER / "trajectories"
    with np.load(folder / f"{episode.suite}_{episode.task}.npz") as file:
        positions = file[f"t{episode.trial}_eef_pos"]  # the initial state first
    path = positions[1 : BEFORE_CONTACT + 1]
    poses = {name: (p[None], q[None]) for name, (p, q) in episode.fixtures.items()}

    def run(qpos, actions):
        still = jnp.zeros((1, scene.model.nv))
        task = jnp.array([episode.task])
        start = env.restore(scene, task, qpos, still, fixtures=poses)

        def one(state, action):
            state, _ = env.step(scene, state, action[None])
            return state, state.physics.xpos[0, scene.bodies[panda.EEF_BODY]]

        return jax.lax.scan(one, start, actions)[1]

    actions = jnp.asarray(episode.actions[:BEFORE_CONTACT])
    hand = np.asarray(compilation.jit(run)(jnp.asarray(episode.qpos)[None], actions))
    assert np.linalg.norm(hand - path, axis=-1).max() < 1.5e-3
