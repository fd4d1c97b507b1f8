"""Tests of sim.resets.region_sampler: LIBERO's ranges, orientations and noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.arenas import ARENAS
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.resets import region_sampler
from omnivla_jax.sim.resets.region_tables import layout
from tests.helpers import crowded

COUNT = 512
CROWD = 64
# Centre (x, y), half width and z from LIBERO's bddl files and its sampler's
# arithmetic: |0.01 - radius|, and the table at 0.90 + 0.01 - bottom.
MOVABLES = {
    "akita_black_bowl_1": ((-0.09, 0.0), 0.015, 0.97),
    "cream_cheese_1": ((-0.05, 0.13), 0.02, 0.935),
    "wine_bottle_1": ((-0.20, -0.05), 0.015, 0.97),
    "plate_1": ((0.05, -0.02), 0.015, 0.97),
}
FIXTURES = {
    "wooden_cabinet_1": ((0.03, -0.24), 0.905),
    "flat_stove_1": ((-0.41, 0.21), 0.905),
    "wine_rack_1": ((-0.26, -0.26), 0.92),
}
SIDEWAYS, BACKWARDS = (0.5**0.5, 0, 0, 0.5**0.5), (0, 0, 0, 1)


@pytest.fixture(scope="module")
def sampled(scene):
    sample = compilation.jit(
        lambda keys: region_sampler.sample(scene, jnp.zeros(COUNT, jnp.int32), keys)
    )
    keys = jax.random.split(jax.random.key(7), COUNT)
    return [np.asarray(x) for x in sample(keys)]


def _fills(values, center, half):
    """Uniform in the square: inside it, and close to all of its edges."""
    offset = (values - np.array(center)) / half
    assert np.all(np.abs(offset) <= 1 + 1e-4), np.abs(offset).max()
    assert np.all(offset.min(0) < -0.95) and np.all(offset.max(0) > 0.95)


@pytest.mark.parametrize("name", MOVABLES)
def test_objects_fill_their_squares(scene, sampled, name):
    center, half, z = MOVABLES[name]
    start = scene.joints[f"{name}_joint0"][0]
    pose = sampled[0][:, start : start + 7]
    _fills(pose[:, :2], center, half)
    np.testing.assert_allclose(pose[:, 2], z, atol=1e-6)
    turn = SIDEWAYS if name in ("akita_black_bowl_1", "plate_1") else BACKWARDS
    np.testing.assert_allclose(pose[:, 3:], np.tile(turn, (COUNT, 1)), atol=1e-6)


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures_fill_their_squares(scene, sampled, name):
    row = scene.posed_bodies.index(name)
    center, z = FIXTURES[name]
    _fills(sampled[1][:, row, :2], center, 0.01)
    np.testing.assert_allclose(sampled[1][:, row, 2], z, atol=1e-6)
    turn = (1, 0, 0, 0) if name == "flat_stove_1" else BACKWARDS
    np.testing.assert_allclose(sampled[2][:, row], np.tile(turn, (COUNT, 1)), atol=1e-6)


def test_only_the_arm_is_noisy(scene, sampled):
    qpos = sampled[0]
    noise = qpos[:, :7] - panda.HOME
    np.testing.assert_allclose(noise.std(axis=0), 0.02, rtol=0.15)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=0.004)
    fingers = np.tile([0.020833, -0.020833], (COUNT, 1))
    np.testing.assert_allclose(qpos[:, 7:9], fingers, atol=1e-6)
    for joint in ("wooden_cabinet_1_top_level", "flat_stove_1_button"):
        np.testing.assert_array_equal(qpos[:, scene.joints[joint][0]], 0.0)


def test_draws_are_independent(scene, sampled):
    starts = [scene.joints[f"{name}_joint0"][0] for name in MOVABLES]
    columns = np.concatenate([sampled[0][:, s : s + 2] for s in starts], axis=1)
    fixtures = sampled[1][:, : len(FIXTURES), :2].reshape(COUNT, -1)
    columns = np.concatenate([columns, fixtures], axis=1)
    correlation = np.corrcoef(columns.T) - np.eye(columns.shape[1])
    assert np.abs(correlation).max() < 0.2


@functools.cache
def _drawn(suite):
    """A suite's scene; `qpos` [10, COUNT, nq] and positions [10, COUNT, F, 3]."""
    scene = scenes.make(suite)
    sample = compilation.jit(functools.partial(region_sampler.sample, scene))
    task = jnp.repeat(jnp.arange(10), COUNT)
    drawn = sample(task, jax.random.split(jax.random.key(3), len(task)))
    np.testing.assert_array_equal(drawn.failures, 0)
    return scene, *(np.asarray(x).reshape(10, COUNT, *x.shape[1:]) for x in drawn[:2])


# Means and half ranges of LIBERO's fifty recorded initial states, and the two joints
# that are not at rest in them. The fixture's own centimetre is part of the spread.
RECORDED = [
    ("libero_spatial", 3, "akita_black_bowl_1", (0.07, 0.03, 1.08), (0.015, 0.015)),
    (
        "libero_spatial",
        3,
        "akita_black_bowl_2",
        (0.0202, -0.282, 1.2315),
        (0.048, 0.032),
    ),
    (
        "libero_spatial",
        4,
        "akita_black_bowl_1",
        (0.0877, -0.143, 1.1506),
        (0.018, 0.02),
    ),
    ("libero_spatial", 5, "akita_black_bowl_1", (-0.2, 0.2, 1.08), (0.015, 0.015)),
    ("libero_spatial", 7, "akita_black_bowl_1", (-0.26, -0.14, 1.01), (0.0225, 0.0225)),
    ("libero_object", 1, "cream_cheese_1", (0.05, -0.1, -0.0), (0.005, 0.005)),
    ("libero_10", 8, "moka_pot_1", (-0.05, 0.25, 0.97), (0.025, 0.025)),
]


@pytest.mark.parametrize("suite, task, name, center, half", RECORDED)
def test_starts_match_libero_s_recorded_ones(suite, task, name, center, half):
    scene, drawn, _ = _drawn(suite)
    qpos = drawn[task]
    start = scene.joints[f"{name}_joint0"][0]
    spread = (qpos[:, start : start + 2].max(0) - qpos[:, start : start + 2].min(0)) / 2
    np.testing.assert_allclose(qpos[:, start : start + 3].mean(0), center, atol=3e-3)
    assert np.all(spread <= np.array(half) + 1e-3), spread
    assert np.all(spread >= 0.7 * np.array(half)), spread


@pytest.mark.parametrize(
    "suite, task, joint, low, high",
    [
        ("libero_spatial", 4, "wooden_cabinet_1_top_level", -0.16, -0.14),
        ("libero_10", 3, "white_cabinet_1_bottom_level", -0.16, -0.14),
        ("libero_10", 8, "flat_stove_1_button", 0.5, 2.1),
        ("libero_10", 9, "microwave_1_microjoint", -2.094, -1.3),
    ],
)
def test_joints_start_as_the_task_says(suite, task, joint, low, high):
    scene, drawn, _ = _drawn(suite)
    values = drawn[task][:, scene.joints[joint][0]]
    assert low <= values.min() and values.max() <= high
    assert values.max() - values.min() > 0.95 * (high - low)


def test_objects_keep_clear_of_each_other():
    scene, drawn, _ = _drawn("libero_10")
    present = [start.name for start in scene.tasks[4].objects]  # mugs nearly meet
    spots = [drawn[4][:, scene.joints[f"{n}_joint0"][0] :][:, :2] for n in present]
    for i, first in enumerate(spots):
        for second in spots[:i]:
            assert np.linalg.norm(first - second, axis=1).min() > 0.05


def test_a_mixed_batch_parks_what_a_task_lacks():
    scene, drawn, positions = _drawn("libero_10")
    qpos, position = drawn[:, 0], positions[:, 0]
    for row, task in enumerate(scene.tasks):
        present = {start.name for start in task.objects}
        for name in scene.assets.objects:
            x = qpos[row, scene.joints[f"{name}_joint0"][0]]
            assert (abs(x) < 1) == (name in present), (task.name, name)
        base = position[row, scene.posed_bodies.index("robot_base")]
        np.testing.assert_allclose(base, ARENAS[task.arena].robot_base, atol=1e-6)
        fixtures = {start.name for start in task.fixtures}
        for name in scene.assets.fixtures:
            x = position[row, scene.posed_bodies.index(name), 0]
            assert (abs(x) < 1) == (name in fixtures), (task.name, name)


@pytest.mark.parametrize("suite", ["libero_spatial", "libero_goal", "libero_10"])
def test_libero_s_objects_share_no_rectangle(suite):
    """So that shapes' circles never change a draw of its own tasks."""
    np.testing.assert_array_equal(layout(scenes.make(suite)).objects.spacing, -1.0)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A scene with a nearly full region, its sampler, and layouts of CROWD keys."""
    folder = tmp_path_factory.mktemp("crowded")
    scene = scenes.make(str(crowded.groceries(folder, 0.08)), engine="mujoco")
    program = compilation.jit(functools.partial(region_sampler.sample, scene))
    task, keys = jnp.zeros(CROWD, int), jax.random.split(jax.random.key(5), CROWD)
    return program, task, keys, scene, program(task, keys)


def test_a_nearly_full_region_overlaps_nothing(full):
    *_, scene, drawn = full
    failures = np.asarray(drawn.failures)
    assert 0 < np.mean(failures > 0) < 0.5  # both kinds are there to look at
    spots = {}
    for name, category in scene.assets.objects.items():
        start = scene.joints[f"{name}_joint0"][0]
        spots[name] = np.asarray(drawn.qpos)[:, start : start + 2]
    placed = {name: spot[:, 0] < 10 for name, spot in spots.items()}
    unplaced = sum(np.where(there, 0, 1) for there in placed.values())
    np.testing.assert_array_equal(unplaced, failures)
    for first in spots:
        for second in spots:
            if first == second:
                continue
            gap = np.linalg.norm(spots[first] - spots[second], axis=1)
            kinds = scene.assets.objects[first], scene.assets.objects[second]
            radii = sum(CATEGORIES[kind].radius for kind in kinds)
            assert gap[placed[first] & placed[second]].min() > radii - 1e-6


@pytest.mark.slow
def test_rounds_of_other_environments_change_nothing(full):
    program, task, keys, _, drawn = full
    easy = int(np.argmin(np.asarray(drawn.failures)))
    hard = int(np.argmax(np.asarray(drawn.failures)))
    for row in (easy, hard):
        others = keys[np.where(np.arange(CROWD) % 2, easy, row)]
        again = program(task, others)
        for new, old in zip(again, drawn):
            np.testing.assert_array_equal(new[0], old[row])
