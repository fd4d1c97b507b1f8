"""Tests of contact.box_box against C MuJoCo's box-box contacts."""

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx import lanes
from omnivla_jax.sim.engines.mjx.contact import box_box
from omnivla_jax.sim.engines.mjx.contact.geometry import Boxes

PAIRS = 200
XML = """<mujoco><worldbody>
  <body><freejoint/><geom type="box" size=".1 .1 .1"/></body>
  <body><freejoint/><geom type="box" size=".1 .1 .1"/></body>
</worldbody></mujoco>"""


def place(model, data, sizes, qpos):
    """Two boxes by half sizes [2, 3] and qpos [14]; C MuJoCo's contacts of them."""
    model.geom_size[:] = sizes
    model.geom_rbound[:] = np.linalg.norm(sizes, axis=1)
    model.geom_aabb[:, 3:] = sizes
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    there = data.contact.dist < 0
    return (
        data.contact.dist[there].copy(),
        data.contact.pos[there].copy(),
        data.contact.frame[there, :3].copy(),
    )


@pytest.fixture(scope="module")
def pairs():
    """Random pairs, half of them nearly parallel: the boxes and C's contacts."""
    rng = np.random.default_rng(0)
    model = mujoco.MjModel.from_xml_string(XML)
    data = mujoco.MjData(model)
    sizes = rng.uniform(0.02, 0.1, (PAIRS, 2, 3))
    turns = rng.normal(size=(PAIRS, 2, 4))
    turns[::2, 1] = turns[::2, 0] + 0.01 * rng.normal(size=(len(turns[::2]), 4))
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    places = rng.uniform(-0.1, 0.1, (PAIRS, 3))
    center, axes = np.zeros((3, PAIRS, 2)), np.zeros((3, 3, PAIRS, 2))
    expected = []
    for i in range(PAIRS):
        qpos = np.concatenate([np.zeros(3), turns[i, 0], places[i], turns[i, 1]])
        expected.append(place(model, data, sizes[i], qpos))
        center[:, i] = data.geom_xpos.T
        axes[:, :, i] = data.geom_xmat.reshape(2, 3, 3).transpose(1, 2, 0)
    parts = center, axes, sizes.transpose(2, 0, 1)
    both = [Boxes(*(jnp.float32(part[..., k]) for part in parts)) for k in range(2)]
    return both, expected


@pytest.fixture(scope="module")
def touch():
    program = jax.jit(functools.partial(box_box.box_box_contacts, lanes.GATHERS))

    def run(first, second):
        return jax.tree.map(np.asarray, program(first, second))

    return run


@pytest.fixture(scope="module")
def points(pairs, touch):
    return touch(*pairs[0])


def test_boxes_touch_when_c_mujoco_says_so(pairs, points):
    both, expected = pairs
    touching = np.array([len(distance) > 0 for distance, _, _ in expected])
    assert 0.1 < touching.mean() < 0.95  # both kinds are there
    np.testing.assert_array_equal(np.asarray(box_box.separation(*both)) < 0, touching)
    np.testing.assert_array_equal((points.distance < 0).any(axis=0), touching)


def test_depth_place_and_direction_agree(pairs, points):
    same = compared = 0
    for i, (distance, position, normal) in enumerate(pairs[1]):
        if not len(distance):
            continue
        compared += 1
        ours = points.distance[:, i] < 0
        if points.normal[:, i] @ normal[0] < 0.999:
            continue  # two axes nearly tie, and C took the other one
        same += 1
        deepest = points.distance[ours, i].min()
        np.testing.assert_allclose(deepest, distance.min(), atol=1e-5)
        for point in points.position[:, ours, i].T:
            assert np.linalg.norm(position - point, axis=1).min() < 1e-4
    assert same / compared > 0.93


def test_a_small_box_stands_on_four_corners(touch):
    eye = jnp.eye(3)
    table = Boxes(jnp.zeros(3), eye, jnp.array([0.5, 0.5, 0.1]))
    small = Boxes(jnp.array([0.2, 0.1, 0.148]), eye, jnp.array([0.03, 0.04, 0.05]))
    points = touch(table, small)
    np.testing.assert_allclose(points.distance, -0.002, atol=1e-6)
    np.testing.assert_allclose(points.normal, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(points.position[2], 0.099, atol=1e-6)
    corners = sorted(np.asarray(points.position[:2]).T.tolist())
    expected = [(x, y) for x in (0.17, 0.23) for y in (0.06, 0.14)]
    np.testing.assert_allclose(corners, expected, atol=1e-6)


def test_swapping_the_boxes_turns_the_normal(pairs, points, touch):
    first, second = pairs[0]
    swapped = touch(second, first)
    there = (points.distance < 0).any(axis=0)
    ours, theirs = (part.distance.min(axis=0)[there] for part in (points, swapped))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    turned = np.sum(points.normal * swapped.normal, axis=0)[there]
    assert np.mean(turned < -0.999) > 0.97


def test_nan_stays_in_its_own_pair(pairs, points, touch):
    first, second = pairs[0]
    broken = first._replace(center=first.center.at[:, 0].set(jnp.nan))
    after = touch(broken, second)
    for ours, theirs in zip(after, points):
        np.testing.assert_array_equal(ours[..., 1:], theirs[..., 1:])
