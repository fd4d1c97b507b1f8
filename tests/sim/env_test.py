"""Tests of omnivla_jax.sim.env: what reset and step promise about a batch."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax import checkpoint as checkpoints

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from tests.helpers import crowded

BATCH = 4
KNOB_TASK = 7


def _actions(seed=0):
    return jax.random.uniform(
        jax.random.key(seed), (BATCH, env.ACTION_SIZE), minval=-1.0, maxval=1.0
    )


def _row(tree, index):
    return jax.tree.map(lambda leaf: np.asarray(leaf[index]), tree)


def _with_physics(state, **fields):
    physics = dataclasses.replace(state.physics, **fields)
    return dataclasses.replace(state, physics=physics)


def _knob_turned(scene, settled):
    """The settled episodes, which are to turn on the stove; row 2 has done it."""
    knob = scene.joints["flat_stove_1_button"][0]
    qpos = settled.physics.qpos.at[2, knob].set(0.6)
    task = jnp.full(BATCH, KNOB_TASK, jnp.int32)
    return dataclasses.replace(_with_physics(settled, qpos=qpos), task=task)


def test_reset_leaves_the_policy_a_settled_scene(scene, settled):
    np.testing.assert_array_equal(settled.task, np.arange(BATCH))
    np.testing.assert_array_equal(settled.steps, 0)
    assert not np.any(settled.frozen) and not np.any(settled.physics.fresh)
    z = scene.joints["akita_black_bowl_1_joint0"][0] + 2
    np.testing.assert_allclose(settled.physics.qpos[:, z], 0.8984, atol=1e-3)
    assert float(jnp.abs(settled.physics.qvel[:, 9:]).max()) < 0.05
    np.testing.assert_allclose(settled.physics.gripper, -1.0)


def test_reset_is_a_function_of_the_key_alone(reset, settled):
    keys = jax.random.split(jax.random.key(0), BATCH)
    again = reset(jnp.arange(BATCH), keys)
    chex.assert_trees_all_equal(again, settled)
    moved = reset(jnp.arange(BATCH)[::-1], keys[::-1])
    chex.assert_trees_all_equal(_row(moved, 0), _row(settled, BATCH - 1))
    rows = settled.physics.qpos
    assert not np.any(np.isclose(rows[0, :7], rows[1, :7], atol=1e-6))


def test_step_counts_and_gives_nothing_for_nothing(step, settled):
    after, outcome = step(settled, _actions())
    np.testing.assert_array_equal(after.steps, 1)
    np.testing.assert_array_equal(outcome.reward, 0.0)
    assert not np.any(outcome.terminated) and not np.any(outcome.truncated)
    assert float(jnp.abs(after.physics.qpos - settled.physics.qpos)[:, :7].max()) > 1e-3


def test_a_success_is_rewarded_once(scene, step, settled):
    state, outcome = step(_knob_turned(scene, settled), jnp.zeros((BATCH, 7)))
    np.testing.assert_array_equal(outcome.reward, [0, 0, 1, 0])
    np.testing.assert_array_equal(outcome.terminated, [False, False, True, False])
    after, outcome = step(state, _actions())
    np.testing.assert_array_equal(outcome.reward, 0.0)
    np.testing.assert_array_equal(outcome.terminated, [False, False, True, False])
    chex.assert_trees_all_equal(_row(after, 2), _row(state, 2))
    np.testing.assert_array_equal(after.steps, [2, 2, 1, 2])
    assert np.any(
        np.asarray(after.physics.qpos[1]) != np.asarray(state.physics.qpos[1])
    )


@pytest.mark.parametrize("poison", [np.nan, 1e6], ids=["nan", "fast"])
def test_a_divergence_stays_in_its_own_episode(
    step, settled, poison, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # MuJoCo would write its warnings there
    clean, _ = step(settled, _actions())
    qvel = settled.physics.qvel.at[1].set(poison)
    poisoned = _with_physics(settled, qvel=qvel)
    after, outcome = step(poisoned, _actions())
    np.testing.assert_array_equal(after.diverged, [False, True, False, False])
    np.testing.assert_array_equal(outcome.truncated, [False, True, False, False])
    np.testing.assert_array_equal(outcome.reward, 0.0)
    for row in (0, 2, 3):
        chex.assert_trees_all_equal(_row(after, row), _row(clean, row))
    # The broken one keeps the state it came with, now and later.
    chex.assert_trees_all_equal(_row(after.physics, 1), _row(poisoned.physics, 1))
    later, _ = step(after, _actions(1))
    chex.assert_trees_all_equal(_row(later.physics, 1), _row(poisoned.physics, 1))
    assert int(later.steps[1]) == int(after.steps[1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("column", [0, 4, 6], ids=["position", "rotation", "gripper"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nonfinite_actions_end_their_own_episode(step, settled, column, value):
    clean, _ = step(settled, _actions())
    after, outcome = step(settled, _actions().at[1, column].set(value))
    bad = np.array([False, True, False, False])
    np.testing.assert_array_equal(after.diverged, bad)
    np.testing.assert_array_equal(outcome.truncated, bad)
    assert not outcome.reward.any() and not after.success.any()
    chex.assert_trees_all_equal(_row(after.physics, 1), _row(settled.physics, 1))
    for row in (0, 2, 3):
        chex.assert_trees_all_equal(_row(after, row), _row(clean, row))


def test_a_divergence_leaves_nothing_behind(reset, step, settled):
    """The engine's memory is used again by whoever comes next."""
    qvel = settled.physics.qvel.at[1].set(np.nan)
    step(_with_physics(settled, qvel=qvel), _actions())
    again = reset(jnp.arange(BATCH), jax.random.split(jax.random.key(0), BATCH))
    chex.assert_trees_all_equal(again, settled)


def test_nonfinite_actions_win_no_goal(scene, step, settled):
    knob = _knob_turned(scene, settled)  # the next step of row 2 would succeed
    after, outcome = step(knob, jnp.zeros((BATCH, 7)).at[2, 6].set(jnp.nan))
    assert after.diverged.tolist() == outcome.truncated.tolist()
    assert after.diverged[2] and not after.success[2] and not outcome.reward.any()


def test_ended_episodes_ignore_bad_actions(scene, step, settled):
    won, _ = step(_knob_turned(scene, settled), jnp.zeros((BATCH, 7)))
    after, outcome = step(won, _actions().at[2].set(jnp.nan))
    assert after.success[2] and not after.diverged.any()
    assert outcome.terminated[2] and not outcome.truncated.any()
    chex.assert_trees_all_equal(_row(after, 2), _row(won, 2))


def test_a_fixture_that_is_nowhere_is_divergence(scene, step, settled):
    """NaN reaches C MuJoCo by the controller's goal, which it would zero."""
    base = scene.posed_bodies.index("robot_base")
    position = settled.physics.fixture_pos[:, base].at[0].set(jnp.nan)
    quaternion = settled.physics.fixture_quat[:, base]
    state = env.restore(
        scene,
        settled.task,
        settled.physics.qpos,
        settled.physics.qvel,
        fixtures={"robot_base": (position, quaternion)},
    )
    after, _ = step(state, _actions())
    assert after.diverged[0] and not after.diverged[1:].any()


def test_a_bowl_dropped_onto_the_ramekin_stays_there():
    # 7 cm of fall: 6 mm a step of 5 ms, deeper than a thin rim.
    scene = scenes.make("libero_spatial", tasks=(5,), engine="mujoco")
    bowl, rim = (
        scene.bodies[name]
        for name in ("akita_black_bowl_1", "glazed_rim_porcelain_ramekin_1")
    )
    still = jnp.zeros((BATCH, env.ACTION_SIZE))

    def run(keys):
        state = env.reset(scene, jnp.full(BATCH, 5), keys)
        state, _ = jax.lax.scan(
            lambda s, _: (env.step(scene, s, still)[0], None), state, length=40
        )
        return state.physics.xpos[:, bowl] - state.physics.xpos[:, rim]

    offset = compilation.jit(run)(jax.random.split(jax.random.key(1), BATCH))
    assert float(jnp.linalg.norm(offset[:, :2], axis=-1).max()) < 5e-3
    np.testing.assert_allclose(offset[:, 2], 0.0355, atol=2e-3)


def test_copies_of_one_state_move_alike(step, settled):
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf[3:], BATCH, axis=0), settled)
    action = jnp.repeat(_actions()[:1], BATCH, axis=0)
    for _ in range(3):
        copies, _ = step(copies, action)
    for row in range(1, BATCH):
        chex.assert_trees_all_equal(_row(copies, row), _row(copies, 0))


def test_copies_differ_by_their_own_actions_alone(step, settled):
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf[3:], BATCH, axis=0), settled)
    action = jnp.repeat(_actions()[:1], BATCH, axis=0)
    alike, _ = step(copies, action)
    apart, _ = step(copies, action.at[1].set(-action[1]))
    for row in (0, 2, 3):
        chex.assert_trees_all_equal(_row(apart, row), _row(alike, row))
    assert float(jnp.abs(apart.physics.qpos - alike.physics.qpos)[1].max()) > 1e-3


def test_a_state_survives_the_disk_bit_for_bit(step, settled, tmp_path):
    state, _ = step(settled, _actions())
    with checkpoints.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        loaded = checkpointer.restore(tmp_path / "state", state)
    chex.assert_trees_all_equal(loaded, state)
    chex.assert_trees_all_equal(step(loaded, _actions()), step(state, _actions()))


def test_an_episode_is_cut_at_the_horizon(scene, step, settled):
    late = dataclasses.replace(
        _knob_turned(scene, settled),
        steps=jnp.array([0, 1, 1, 2]) + scene.suite.horizon - 2,
    )
    _, outcome = step(late, jnp.zeros((BATCH, 7)))
    np.testing.assert_array_equal(outcome.truncated, [False, True, False, True])
    np.testing.assert_array_equal(outcome.terminated, [False, False, True, False])


def test_actions_are_clipped(step, settled):
    wild, _ = step(settled, 10.0 * jnp.sign(_actions()))
    unit, _ = step(settled, jnp.sign(_actions()))
    chex.assert_trees_all_equal(wild, unit)


def test_restore_reports_contacts_of_its_own_state_only(scene, step, settled):
    def restored(qpos):
        return env.restore(scene, settled.task, qpos, jnp.zeros((BATCH, 37)))

    bowl = scene.joints["akita_black_bowl_1_joint0"][0]
    pair = scene.contact_pairs.index(("akita_black_bowl_1", "flat_stove_1"))
    on_stove = settled.physics.qpos.at[:, bowl : bowl + 3].set(
        jnp.array([-0.26, 0.21, 0.928])
    )
    assert np.all(restored(on_stove).physics.touching[:, pair])
    assert not np.any(restored(settled.physics.qpos).physics.touching[:, pair])


def test_restore_rejects_fixtures_it_does_not_have(scene, settled):
    fixtures = {"microwave": (jnp.zeros((BATCH, 3)), jnp.zeros((BATCH, 4)))}
    with pytest.raises(ValueError, match="microwave.*wooden_cabinet"):
        env.restore(
            scene,
            settled.task,
            settled.physics.qpos,
            settled.physics.qvel,
            fixtures=fixtures,
        )


def _speeds(scene, state):
    """m/s [B]: of the fastest object."""
    dofs = [scene.joints[f"{name}_joint0"][1] for name in scene.assets.objects]
    speeds = [np.linalg.norm(state.physics.qvel[:, d : d + 3], axis=1) for d in dofs]
    return np.max(speeds, axis=0)


def test_a_crowd_with_room_comes_to_rest(tmp_path):
    scene = scenes.make(str(crowded.groceries(tmp_path, 0.12)), engine="mujoco")
    keys = jax.random.split(jax.random.key(0), 64)
    reset = compilation.jit(lambda keys: env.reset(scene, jnp.zeros(64, int), keys))
    state = reset(keys)
    np.testing.assert_array_equal(state.placement_failures, 0)
    assert not np.any(state.frozen)
    assert _speeds(scene, state).max() < 0.5


def test_an_unplaced_object_freezes_its_episode(tmp_path):
    scene = scenes.make(str(crowded.groceries(tmp_path, 0.08)), engine="mujoco")
    keys = jax.random.split(jax.random.key(0), 64)

    @compilation.jit
    def run(keys):
        state = env.reset(scene, jnp.zeros(64, int), keys)
        return state, env.step(scene, state, jnp.ones((64, env.ACTION_SIZE)))

    state, (after, outcome) = run(keys)
    failed = np.asarray(state.placement_failures) > 0
    assert failed.any() and not failed.all()
    np.testing.assert_array_equal(state.frozen, failed)
    np.testing.assert_array_equal(state.diverged, failed)
    np.testing.assert_array_equal(outcome.truncated, failed)
    assert not np.any(np.asarray(after.success) & failed)
    before, later = np.asarray(state.physics.qpos), np.asarray(after.physics.qpos)
    np.testing.assert_array_equal(before[failed], later[failed])
    np.testing.assert_array_equal(after.steps, ~failed)
    assert np.all(np.any(before != later, axis=1) == ~failed)
