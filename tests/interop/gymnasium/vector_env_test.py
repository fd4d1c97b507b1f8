"""Tests of omnivla_jax.interop.gymnasium: our numbers, by gymnasium's rules."""

import dataclasses
import importlib
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.world import observe, proprioception, visual_scene

gymnasium = pytest.importorskip("gymnasium")
interop = importlib.import_module("omnivla_jax.interop.gymnasium")

BATCH, HORIZON, SIZE = 3, 4, 16
STOVE, BOWL = 7, 8
SIMULATOR = Path(__file__).parents[3] / "docs" / "simulator.md"


@pytest.fixture(scope="module")
def scene():
    return scenes.make(
        "libero_goal", tasks=(STOVE, BOWL), engine="mujoco", horizon=HORIZON
    )


@pytest.fixture(scope="module")
def make(scene):
    """Environments of the one scene, whose programs they share."""

    def make(mode="NextStep", **settings):
        return interop.LiberoVectorEnv(
            scene, BATCH, image_size=SIZE, autoreset_mode=mode, **settings
        )

    return make


def random_actions(seed):
    return np.random.default_rng(seed).uniform(-1, 1, (BATCH, 7)).astype(np.float32)


def play(envs, steps, start=0):
    return [envs.step(random_actions(start + step)) for step in range(steps)]


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def reach_the_goal(envs, scene, row):
    """Turn the knob of environment `row` as far as `turn on the stove` asks."""
    physics = envs._state.physics
    address, _ = scene.joints["flat_stove_1_button"]
    qpos = physics.qpos.at[row, address].set(1.0)
    physics = dataclasses.replace(physics, qpos=qpos)
    envs._state = dataclasses.replace(envs._state, physics=physics)


@pytest.mark.slow
def test_steps_equal_the_simulators_bit_for_bit(scene, make):
    keys = [jax.random.fold_in(jax.random.key(5 + row), 0) for row in range(BATCH)]
    tasks = jnp.array([STOVE, BOWL, STOVE])
    reset = compilation.jit(lambda keys: env.reset(scene, tasks, keys))
    step = compilation.jit(lambda state, action: env.step(scene, state, action))
    visuals = visual_scene.make(scene)
    envs = make()
    observations, infos = envs.reset(seed=5)
    state = reset(jnp.stack(keys))
    assert list(infos["instruction"][:2]) == [
        "turn on the stove",
        "put the bowl on the plate",
    ]
    for number in range(HORIZON):
        images = observe.images(visuals, state.physics, size=SIZE)
        assert_same(observations["agentview"], images[:, 0])
        assert_same(observations["wrist"], images[:, 1])
        assert_same(observations["state"], proprioception.policy_state(scene, state))
        assert envs.observation_space.contains(observations)
        observations, rewards, *ends, infos = envs.step(random_actions(number))
        state, timestep = step(state, random_actions(number))
        assert_same(envs._state, state)
        assert_same((rewards, *ends), tuple(timestep))
    assert infos["steps"].tolist() == [HORIZON] * BATCH and ends[1].all()


@pytest.mark.slow
def test_no_program_is_traced_twice(make):
    envs = make("Disabled", render_mode="rgb_array", render_size=SIZE)
    envs.reset(seed=0)
    play(envs, 2)
    envs.reset(options={"reset_mask": np.array([False, True, False]), "task": BOWL})
    play(envs, 1)
    assert [picture.shape for picture in envs.render()] == [(SIZE, SIZE, 3)] * BATCH
    assert [program._cache_size() for program in envs._programs] == [1] * 4


@pytest.mark.slow
def test_an_episode_ignores_its_neighbours(make):
    envs = make()
    envs.reset(seed=[3, 11, 4], options={"task": [STOVE, BOWL, BOWL]})
    first = [observations for observations, *_ in play(envs, HORIZON + 3)]
    envs.reset(seed=[8, 11, 9], options={"task": [BOWL, BOWL, STOVE]})
    second = [observations for observations, *_ in play(envs, HORIZON + 3)]
    for one, other in zip(first, second):
        assert_same(*[{k: v[1] for k, v in o.items()} for o in (one, other)])
        assert (one["state"][0] != other["state"][0]).any()


@pytest.mark.slow
def test_next_step_resets_in_the_step_after(make):
    envs = make("NextStep")
    start, _ = envs.reset(seed=0)
    *_, (last, _, terminated, truncated, _) = play(envs, HORIZON)
    assert truncated.all() and not terminated.any()
    fresh, rewards, terminated, truncated, infos = envs.step(random_actions(9))
    assert not (rewards.any() or terminated.any() or truncated.any())
    assert infos["steps"].tolist() == [0, 0, 0] and "final_obs" not in infos
    assert infos["task"].tolist() == [BOWL, STOVE, BOWL]  # tasks take turns
    assert (np.abs(fresh["state"] - last["state"]).max(axis=1) > 1e-3).all()
    assert (fresh["state"] != start["state"]).any(axis=1).all()


@pytest.mark.slow
def test_same_step_keeps_the_last_observation(make):
    slow, fast = make("NextStep"), make("SameStep")
    slow.reset(seed=0), fast.reset(seed=0)
    last, *_ = play(slow, HORIZON)[-1]
    fresh, *_ = slow.step(random_actions(9))
    observations, _, _, truncated, infos = play(fast, HORIZON)[-1]
    assert truncated.all() and infos["steps"].tolist() == [0, 0, 0]
    assert_same(observations, fresh)
    for row in range(BATCH):
        assert_same(infos["final_obs"][row], {k: v[row] for k, v in last.items()})
    assert infos["final_info"]["steps"].tolist() == [HORIZON] * BATCH
    assert infos["_final_info"].all() and infos["_final_obs"].all()


@pytest.mark.slow
def test_disabled_waits_for_a_reset_of_the_ended(scene, make):
    envs = make("Disabled")
    envs.reset(seed=0, options={"task": STOVE})
    reach_the_goal(envs, scene, 1)
    _, rewards, terminated, truncated, infos = envs.step(random_actions(0))
    assert rewards.tolist() == [0, 1, 0] and terminated.tolist() == [False, True, False]
    assert not truncated.any() and infos["success"].tolist() == terminated.tolist()
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"\[1\] have ended"):
        envs.step(random_actions(1))
    before = jax.tree.map(np.asarray, envs._state)
    _, infos = envs.reset(options={"reset_mask": terminated})
    others = np.array([0, 2])
    assert_same(*[jax.tree.map(lambda x: x[others], s) for s in (before, envs._state)])
    assert infos["steps"].tolist() == [1, 0, 1] and not infos["success"].any()
    envs.step(random_actions(1))


@pytest.mark.slow
def test_a_nan_action_truncates_and_says_diverged(make):
    envs = make()
    envs.reset(seed=0)
    actions = random_actions(0)
    actions[2, 3] = np.nan
    _, rewards, terminated, truncated, infos = envs.step(actions)
    assert truncated.tolist() == infos["diverged"].tolist() == [False, False, True]
    assert not terminated.any() and not rewards.any()


@pytest.mark.slow
def test_rewards_are_weighted_terms(scene):
    weights = {"success": 2.0, "progress": 0.5, "smoothness": 1.0}
    envs = interop.LiberoVectorEnv(
        scene, BATCH, image_size=SIZE, reward_weights=weights
    )
    envs.reset(seed=0)
    wait = np.tile(np.array(env.WAIT_ACTION, np.float32), (BATCH, 1))
    first, second = envs.step(wait)[1], envs.step(-wait)[1]
    # The gripper's jump from -1 to 1 costs a seventh; before, the command was the same.
    np.testing.assert_allclose(first - second, 1 / 7, atol=0.02)
    with pytest.raises(ValueError, match=r"Unknown reward terms \['speed'\]"):
        interop.LiberoVectorEnv(scene, reward_weights={"speed": 1.0})


@pytest.mark.slow
def test_wrappers_of_gymnasium_count_episodes(make):
    vector = gymnasium.wrappers.vector
    for mode in ("NextStep", "SameStep"):
        counted = vector.RecordEpisodeStatistics(make(mode))
        envs = vector.DictInfoToList(counted)
        envs.reset(seed=0)
        infos = play(envs, 2 * HORIZON + 1)[HORIZON - 1][-1]
        assert [info["episode"]["l"] for info in infos] == [HORIZON] * BATCH
        assert {info["instruction"] for info in infos} == {
            "turn on the stove",
            "put the bowl on the plate",
        }
        assert counted.episode_count >= BATCH


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"options": {"tasks": 7}}, r"Unknown options \['tasks'\]"),
        ({"options": {"task": 3}}, r"Unknown tasks \[3\].*libero_goal holds 7 to 8"),
        ({"options": {"task": [7, 8]}}, r"has shape \[2\]: give one number, or 3"),
        ({"options": {"reset_mask": np.zeros(3, bool)}}, "at least one True"),
        ({"options": {"reset_mask": np.array([1, 0, 1])}}, "give bool"),
        ({"seed": [1, 2]}, "give one or 3 integers"),
        ({"seed": 2**32 - 1}, "integers from 0, below"),
    ],
)
def test_bad_resets_are_one_line(make, arguments, words):
    envs = make()
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=words) as caught:
        envs.reset(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_misuse_is_refused(make):
    envs = make()
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        envs.step(random_actions(0))
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"shape \[2, 7\]: give \[3, 7\]"):
        envs.step(random_actions(0)[:2])
    with pytest.raises(ValueError, match="render_mode="):
        envs.render()
    envs.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        envs.step(random_actions(0))


def test_a_missing_gymnasium_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "omnivla_jax.interop.gymnasium")
    with pytest.raises(ImportError, match=r"omnivla-rl\[gymnasium\]"):
        importlib.import_module("omnivla_jax.interop.gymnasium")


@pytest.mark.slow
def test_the_documents_snippet_runs():
    (block,) = re.findall(
        r"```python\n(import gymnasium.*?)```", SIMULATOR.read_text(), re.DOTALL
    )
    for full, toy in (("num_envs=64", "num_envs=2"), ("range(280)", "range(2)")):
        assert full in block
        block = block.replace(full, toy)
    names: dict = {}
    exec(block, names)
    assert names["observations"]["agentview"].shape == (2, 128, 128, 3)
