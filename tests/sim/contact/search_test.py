"""Tests of contact.search: the scene's contacts against C MuJoCo's."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import engine_mujoco
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.contact import search, tables
from omnivla_jax.sim.contact.boxes import APART

BATCH = 3
WORKTOP = 0.9  # m: the table of libero_goal
CROWD = tables.Crowd(movables=4, stacked=False)


@pytest.fixture(scope="module")
def mjx_scene():
    return scenes.make("libero_goal", physics="mjx")


@pytest.fixture(scope="module")
def table(mjx_scene):
    bodies = mjx_scene.bodies
    pairs = [(bodies[one], bodies[other]) for one, other in mjx_scene.contact_pairs]
    return tables.build(mjx_scene.model, pairs, CROWD)


@pytest.fixture(scope="module")
def data(mjx_scene, settled):
    """C MuJoCo at settled states: as they are, bowl on the plate, bowl in the hand."""
    return [_state(mjx_scene, settled.physics, row) for row in range(BATCH)]


def _state(scene, physics, row):
    model, data = engine_mujoco.single(scene, scene.model, physics, row)
    mujoco.mj_forward(model, data)
    plate, hand = data.body("plate_1").xpos, data.body("eef").xpos
    places = {1: plate + [0.0, 0.0, 0.0035], 2: hand + [0.0, 0.01, -0.03]}
    if row in places:
        bowl = scene.joints["akita_black_bowl_1_joint0"][0]
        data.qpos[bowl : bowl + 3] = places[row]
        mujoco.mj_forward(model, data)
    return data


def compiled(table, data, watched):
    """The geoms' poses and the search compiled for them."""
    center = np.array([state.geom_xpos for state in data]).transpose(2, 0, 1)
    axes = np.array([state.geom_xmat.reshape(-1, 3, 3) for state in data])
    poses = jnp.float32(center), jnp.float32(axes.transpose(2, 3, 0, 1))
    program = compilation.jit(
        lambda center, axes: search.search(table, center, axes, watched)
    )
    return poses, program.lower(*poses).compile()


@pytest.fixture(scope="module")
def searching(table, data, mjx_scene):
    return compiled(table, data, len(mjx_scene.contact_pairs))


@pytest.fixture(scope="module")
def found(searching):
    poses, program = searching
    return program(*poses)


def solid_pairs(table, found, row):
    """Pairs of boxes with contacts -> their deepest distance."""
    pairs: dict[frozenset[int], float] = {}
    columns = table.candidates.shape[1]
    there = np.asarray(found.contacts.distance[row]) < 0
    for slot in np.flatnonzero(there):
        entry = int(found.contacts.entry[row, slot])
        if entry < table.candidates.size:
            key = frozenset((int(table.drivers[entry // columns]), entry % columns))
            distance = float(found.contacts.distance[row, slot])
            pairs[key] = min(distance, pairs.get(key, 0.0))
    return pairs


def test_pairs_of_boxes_and_their_depths_are_c_mujoco_s(table, data, found, mjx_scene):
    plane = int(mujoco.mjtGeom.mjGEOM_PLANE)
    for row, state in enumerate(data):
        expected: dict[frozenset[int], float] = {}
        for contact in state.contact:
            if mjx_scene.model.geom_type[contact.geom[0]] != plane and contact.dist < 0:
                key = frozenset(contact.geom.tolist())
                expected[key] = min(contact.dist, expected.get(key, 0.0))
        ours = solid_pairs(table, found, row)
        assert ours.keys() == expected.keys()
        for key, distance in ours.items():
            np.testing.assert_allclose(distance, expected[key], atol=1e-6)
    assert len(ours) > 1  # the hand and the bowl


def test_things_at_rest_stand_on_up_to_four_points(table, data, found, mjx_scene):
    flat = np.asarray(found.contacts.entry) >= table.candidates.size
    flat &= np.asarray(found.contacts.distance) < 0
    bodies = np.asarray(table.bodies)[1, np.asarray(found.contacts.entry)]
    for name in ("plate_1", "cream_cheese_1", "wine_bottle_1"):
        points = np.sum(flat & (bodies == mjx_scene.bodies[name]), axis=1)
        assert np.all((points >= 3) & (points <= 4)), name
    height = np.asarray(found.contacts.position)[2][flat]
    np.testing.assert_allclose(height, WORKTOP, atol=1e-3)
    np.testing.assert_allclose(np.asarray(found.contacts.normal)[2][flat], 1.0)


def test_touching_is_c_mujoco_s(data, found, mjx_scene):
    roots = mjx_scene.model.body_rootid[mjx_scene.model.geom_bodyid]
    for row, state in enumerate(data):
        there = state.contact.geom[state.contact.dist < 0]
        ends = [set(pair) for pair in roots[there].tolist()]
        for column, pair in enumerate(mjx_scene.contact_pairs):
            expected = {mjx_scene.bodies[name] for name in pair} in ends
            assert bool(found.touching[row, column]) == expected, pair
    assert np.asarray(found.touching).any()


def test_nothing_overflows_and_empty_slots_are_apart(found):
    np.testing.assert_array_equal(found.overflow, 0)
    distance = np.asarray(found.contacts.distance)
    assert np.all((distance < 0) | (distance == APART))


def test_no_list_of_pairs_is_sorted(searching):
    # XLA turns a top_k whose last value is read into a sort, eight times slower.
    assert " sort(" not in searching[1].as_text()


@pytest.mark.parametrize(
    "budget, lost",
    [
        ({"contacts": 5}, lambda there: there["contacts"] - 5),
        ({"pairs": 1}, lambda there: np.maximum(there["pairs"] - 1, 0)),
        ({"near": 3}, lambda there: there["near"] >= 3),
        ({"drivers": 2}, lambda there: np.maximum(there["drivers"] - 2, 0)),
    ],
)
def test_what_does_not_fit_is_counted(table, data, found, budget, lost):
    small = table._replace(budget=table.budget._replace(**budget))
    poses, program = compiled(small, data, 0)
    overflow = np.asarray(program(*poses).overflow)
    near = np.array([near_pairs(table, state) for state in data])
    there = {
        "contacts": np.sum(np.asarray(found.contacts.distance) < 0, axis=1),
        "pairs": np.array([len(solid_pairs(table, found, k)) for k in range(BATCH)]),
        "near": near.sum(axis=(1, 2)),
        "drivers": near.any(axis=2).sum(axis=1),
    }
    np.testing.assert_array_equal(overflow, lost(there))
    assert overflow.max() > 0


def near_pairs(table, state):
    """bool [D, G]: candidate pairs whose world-aligned boxes overlap."""
    axes = np.abs(state.geom_xmat.reshape(-1, 3, 3))
    reach = np.einsum("gij,jg->gi", axes, table.half)
    apart = np.abs(state.geom_xpos[table.drivers, None] - state.geom_xpos[None])
    apart = np.max(apart - reach[table.drivers, None] - reach[None], axis=-1)
    return (apart < 0) & table.candidates


# A crate over two tables, one of which is parked far below.
TABLES = """<mujoco><worldbody>
  <body><geom type="plane" size="1 1 .1" friction=".3 .01 .001"/></body>
  <body><geom type="plane" size="1 1 .1" friction=".7 .01 .001"/></body>
  <body><freejoint/><geom type="box" size=".05 .05 .05" friction=".1 .01 .001"/></body>
</worldbody></mujoco>"""


def test_the_highest_plane_is_the_ground():
    model = mujoco.MjModel.from_xml_string(TABLES)
    table = tables.build(model, [], tables.Crowd(movables=1, stacked=False))
    heights = np.array([[0.5, -20.0, 0.549], [-20.0, 0.3, 0.349], [-20.0, -9.0, 1.0]])
    center = np.zeros((3, BATCH, model.ngeom), np.float32)
    center[2] = heights
    axes = np.broadcast_to(np.eye(3)[:, :, None, None], (3, *center.shape))
    found = search.search(table, jnp.float32(center), jnp.float32(axes), 0)
    there = np.asarray(found.contacts.distance) < 0
    np.testing.assert_array_equal(there.sum(axis=1), [4, 4, 0])
    entry = np.asarray(found.contacts.entry)
    for row, ground in ((0, 0), (1, 1)):
        rows = entry[row, there[row]]
        np.testing.assert_array_equal(table.bodies[0, rows], ground + 1)
        np.testing.assert_allclose(table.response[0, rows], (0.3, 0.7)[ground])
        height = np.asarray(found.contacts.position)[2, row, there[row]]
        np.testing.assert_allclose(height, heights[row, ground], atol=1e-3)
