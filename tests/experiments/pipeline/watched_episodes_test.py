"""Tests of experiments.pipeline.watched_episodes: states become records and a page."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.pipeline import watched_episodes
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.goals import reward
from omnivla_jax.world import observe, visual_scene

STEPS, EVERY, SIZE = 40, 16, 16


@pytest.fixture(scope="module")
def scene():
    return scenes.make("libero_goal", tasks=(7,), engine="mujoco")


@pytest.fixture(scope="module")
def states(scene):
    """Of two experts, both cut off on their way to the stove."""
    return watched_episodes.play_expert(
        scene, (7, 7), jax.random.key(0), max_steps=STEPS
    )


@pytest.fixture(scope="module")
def make_records(scene):
    """Records of states, with the chunks of a policy."""
    visuals = visual_scene.make(scene)

    def make(states):
        return watched_episodes.make_records(
            scene, visuals, states, ["one", "two"], every=EVERY, size=SIZE, chunked=True
        )

    return make


@pytest.mark.slow
def test_records_show_the_states(scene, states, make_records):
    assert states.success.shape == (1 + STEPS, 2)
    records = make_records(states)
    assert [record.title for record in records] == ["one", "two"]
    for row, record in enumerate(records):
        assert (record.outcome, record.success) == ("failure", None)
        np.testing.assert_array_equal(record.position, states.physics.xpos[:, row])
        assert np.linalg.norm(record.hand[-1] - record.hand[0]) > 0.05  # it moved
        assert list(record.decisions) == list(record.picture_frames) == [0, 16, 32]
        state = jax.tree.map(lambda x: jnp.asarray(x[EVERY, row : row + 1]), states)
        seen = observe.images(visual_scene.make(scene), state.physics, size=SIZE)
        np.testing.assert_allclose(record.pictures[1], seen[0], atol=1)
        still = jnp.zeros((1, 7))
        terms = reward.compute(scene, state, still, still, ("alignment", "progress"))
        for name, values in terms.items():
            found = record.curves[name][EVERY]
            assert found == pytest.approx(float(values[0]), abs=1e-5)


@pytest.mark.slow
def test_an_episode_ends_soon_after_its_success(states, make_records):
    success = states.success.copy()
    success[5:, 0] = True
    diverged = states.diverged.copy()
    diverged[-1, 1] = True
    changed = dataclasses.replace(states, success=success, diverged=diverged)
    first, second = make_records(changed)
    assert (first.outcome, first.success) == ("success", 5)
    assert len(first.position) == 5 + watched_episodes.TAIL_FRAMES
    assert list(first.decisions) == [0] and len(first.pictures) == 1
    assert second.outcome == "diverged" and len(second.position) == 1 + STEPS


@pytest.mark.slow
def test_an_expert_has_pictures_but_no_chunks(scene, states, tmp_path):
    path = tmp_path / "page.html"
    words = ["turn on the stove"] * 2
    watched_episodes.write(
        path, scene, states, words, every=EVERY, size=SIZE, chunked=False
    )
    source = path.read_text("utf-8")
    data = re.search(r'id="data">(.*?)</script>', source, re.DOTALL)
    assert data and "What the cameras see" in source
    for episode in json.loads(data[1])["episodes"]:
        assert episode["decisions"] == [] and episode["pictures"]["frames"] == [
            0,
            16,
            32,
        ]
