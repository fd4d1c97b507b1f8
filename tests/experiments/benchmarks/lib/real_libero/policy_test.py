"""Tests of the closed loop: a server of constant actions, one that does not start."""

import threading

import numpy as np
import pytest
from websockets.sync.server import serve

from experiments.benchmarks.lib.real_libero import policy
from experiments.real_libero.remote import RealObservation
from experiments.serving import codec


class CountedSteps:
    """A simulator that succeeds at some control step, those of waiting included."""

    def __init__(self, success_at):
        self.steps, self.success_at = 0, success_at

    def reset(self, state):
        self.steps = 0
        return self.observe()

    def step(self, action):
        self.steps += 1
        return self.observe()

    def observe(self):
        quaternion, nothing = np.array([0.0, 0, 0, 1]), np.zeros(0)
        done = self.steps == self.success_at
        return RealObservation(
            nothing, nothing, {}, np.ones(3), quaternion, np.zeros(2), None, done
        )


@pytest.fixture
def server():
    def answer(connection):
        connection.send(codec.pack({"image_size": 4}))
        for _ in connection:
            connection.send(codec.pack({"actions": np.zeros((8, 7), np.float32)}))

    with serve(answer, "127.0.0.1", 0, compression=None) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield "ws://127.0.0.1:%d" % running.socket.getsockname()[1]
        running.shutdown()


def test_both_sides_play_the_same_protocol(server):
    options = {
        "prompt": "turn on the stove",
        "server": server,
        "pictures": lambda _: np.zeros((2, 4, 4, 3), np.uint8),
        "replan_steps": 8,
        "max_steps": 20,
    }
    results = [
        policy.play_episode(CountedSteps(at), np.zeros(1), **options) for at in (23, 99)
    ]
    assert results == [(True, 13), (False, 20)]


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why(tmp_path):
    with pytest.raises(ValueError, match="experiments.serve ended: .*checkpoint"):
        with policy.serving(str(tmp_path)):
            pass
