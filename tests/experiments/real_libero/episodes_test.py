"""Tests of openpi's evaluation protocol in the real LIBERO."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from experiments.real_libero import episodes
from experiments.real_libero.remote import RealObservation
from omnivla_jax.sim import env, scene
from omnivla_jax.world import observe, visual_scene


class RecordedSteps:
    """Stands in for `RealLibero`: succeeds at control step `success_at`, from 1."""

    def __init__(self, success_at):
        self.actions, self.success_at = [], success_at

    def observe(self):
        done = len(self.actions) == self.success_at
        quaternion = np.array([0.0, 0.0, 0.0, 1.0])
        nothing = np.zeros(0)
        return RealObservation(
            nothing, nothing, {}, np.ones(3), quaternion, np.zeros(2), None, done
        )

    def reset(self, state):
        return self.observe()

    def step(self, action):
        self.actions.append(np.asarray(action))
        return self.observe()


def run(real, horizon=8, **options):
    """Run a policy whose action k of request r has the first entry 10 r + k."""
    requests = []

    def infer(request):
        requests.append(request)
        first = 10.0 * len(requests) + np.arange(horizon)
        return np.stack([first] + [np.zeros(horizon)] * 6, axis=1)

    result = episodes.run_episode(
        real,
        np.zeros(1),
        "turn on the stove",
        infer,
        lambda _: np.zeros((2, 4, 4, 3), np.uint8),
        **options,
    )
    return result, requests


def test_waits_then_executes_five_of_each_chunk():
    real = RecordedSteps(success_at=10 + 7)
    result, requests = run(real, max_steps=20)
    assert result == (True, 7) and len(requests) == 2
    np.testing.assert_array_equal(real.actions[:10], [[0, 0, 0, 0, 0, 0, -1]] * 10)
    first = [action[0] for action in real.actions[10:]]
    assert first == [10, 11, 12, 13, 14, 20, 21]


def test_success_while_waiting_does_not_count():
    result, _ = run(RecordedSteps(success_at=10), max_steps=6)
    assert result == (False, 6)


def test_time_limit_counts_the_policys_steps():
    real = RecordedSteps(success_at=10 + 7)
    assert run(real, max_steps=6)[0] == (False, 6)
    assert len(real.actions) == 16


def test_short_chunks_are_refused():
    with pytest.raises(ValueError, match=r"\[3, 7\].*--replan_steps"):
        run(RecordedSteps(0), horizon=3, max_steps=6)


def test_request_has_openpis_keys():
    _, requests = run(RecordedSteps(0), max_steps=1)
    request = requests[0]
    assert set(request) == {
        "observation/image",
        "observation/wrist_image",
        "observation/state",
        "prompt",
    }
    assert request["observation/state"].dtype == np.float32
    np.testing.assert_array_equal(request["observation/state"], [1, 1, 1] + [0] * 5)


@pytest.mark.parametrize("seed", range(3))
def test_axis_angle_is_scipys_rotation(seed):
    quaternion = np.random.default_rng(seed).normal(size=4)
    quaternion /= np.linalg.norm(quaternion)
    seen = RecordedSteps(0).observe()._replace(eef_quaternion=quaternion)
    vector = episodes.proprio(seen)[3:6]
    turned = Rotation.from_rotvec(vector) * Rotation.from_quat(quaternion).inv()
    assert turned.magnitude() < 1e-7
    assert np.linalg.norm(vector) <= 2 * np.pi


@pytest.mark.slow
def test_renderer_draws_our_pictures_of_a_state():
    world = scene.make("libero_goal", engine="mujoco", tasks=(7,))
    qpos, qvel = np.asarray(world.model.qpos0), np.zeros(world.model.nv)
    fixtures = {"flat_stove_1": (np.array([-0.4, 0.2, 0.905]), np.eye(4)[0])}
    seen = RealObservation(
        qpos, qvel, fixtures, np.zeros(3), np.zeros(4), np.zeros(2), None, False
    )
    pictures = episodes.make_renderer(world, 7, size=16)(seen)
    position, quaternion = (jnp.asarray(x)[None] for x in fixtures["flat_stove_1"])
    batched = {"flat_stove_1": (position, quaternion)}
    state = env.restore(
        world, [7], jnp.asarray(qpos)[None], jnp.asarray(qvel)[None], fixtures=batched
    )
    ours = observe.images(visual_scene.make(world), state.physics, size=16)[0]
    assert pictures.shape == (2, 16, 16, 3) and pictures.std() > 10
    difference = pictures[:, :, ::-1].astype(int) - np.asarray(ours, int)
    assert np.abs(difference).max() <= 1  # two programs of the same picture
