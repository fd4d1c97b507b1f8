"""Tests of contact.collision: the scene's contacts against C MuJoCo's."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines import mujoco as engine_mujoco
from omnivla_jax.sim.engines.mjx import active_bodies, lanes
from omnivla_jax.sim.engines.mjx.contact import collision, tables
from omnivla_jax.sim.engines.mjx.contact.box_box import NO_CONTACT
from tests.helpers import body_subsets, unoptimized

BATCH = 4
WORKTOP = 0.9  # m: the table of libero_goal


@pytest.fixture(scope="module")
def mjx_scene():
    return scenes.make("libero_goal", engine="mjx")


@pytest.fixture(scope="module")
def subset(mjx_scene):
    """Libero_goal's only one: all tasks have the same objects."""
    (only,) = active_bodies.body_subsets(active_bodies.active_bodies(mjx_scene))
    return only


@pytest.fixture(scope="module")
def table(mjx_scene, subset):
    bodies = mjx_scene.bodies
    watched = [(bodies[one], bodies[other]) for one, other in mjx_scene.contact_pairs]
    return tables.build(mjx_scene.model, watched, [subset])


@pytest.fixture(scope="module")
def data(mjx_scene, settled):
    """C MuJoCo at settled states: as they are; the bowl on the plate, in the hand, and
    at the wrist.
    """
    return [_state(mjx_scene, settled.physics, row) for row in range(BATCH)]


def _state(scene, physics, row):
    model, data = engine_mujoco.single(scene, scene.model, physics, row)
    mujoco.mj_forward(model, data)
    plate, hand, wrist = (data.body(name).xpos for name in ("plate_1", "eef", "link6"))
    places = {
        1: plate + [0.0, 0.0, 0.0035],
        2: hand + [0.0, 0.01, -0.03],
        3: wrist + [0.0, -0.1, 0.0],
    }
    if row in places:
        bowl = scene.joints["akita_black_bowl_1_joint0"][0]
        data.qpos[bowl : bowl + 3] = places[row]
        mujoco.mj_forward(model, data)
    return data


def poses(subset, data):
    """Positions and matrices of the cast's bodies."""
    order = np.argsort(subset.bodies)
    position = np.array([state.xpos[order] for state in data])
    matrix = np.array([state.xmat[order].reshape(-1, 3, 3) for state in data])
    return jnp.float32(position.T), jnp.float32(matrix.transpose(2, 3, 1, 0))


def compiled(table, subset, data, num_sensors):
    """The bodies' poses and the search compiled for them."""
    rows = jnp.zeros(len(data), int)

    def run(position, matrix):
        tables = collision.subset_tables(table, rows)
        geoms = collision.geom_boxes(lanes.GATHERS, tables, position, matrix)
        return geoms, collision.collide(table, tables, position, matrix, num_sensors)

    arguments = poses(subset, data)
    return arguments, compilation.jit(run).lower(*arguments).compile()


@pytest.fixture(scope="module")
def searching(table, subset, data, mjx_scene):
    return compiled(table, subset, data, len(mjx_scene.contact_pairs))


@pytest.fixture(scope="module")
def result(searching):
    arguments, program = searching
    return program(*arguments)[1]


def test_geoms_are_where_c_mujoco_has_them(table, data, searching):
    arguments, program = searching
    geoms, _ = program(*arguments)
    rows = table.pairs.geoms[0]
    assert len(rows) == data[0].model.ngeom and rows.min() == 0
    for row, state in enumerate(data):
        center, axes = state.geom_xpos[rows], state.geom_xmat[rows].reshape(-1, 3, 3)
        np.testing.assert_allclose(geoms.center[..., row].T, center, atol=1e-6)
        np.testing.assert_allclose(
            geoms.axes[..., row].transpose(2, 0, 1), axes, atol=1e-6
        )


def solid_pairs(pair_geoms, table, result, row):
    """Pairs of boxes with contacts -> their deepest distance."""
    pairs: dict[frozenset[int], float] = {}
    geoms = pair_geoms(table.pairs)
    active = np.asarray(result.contacts.distance[:, row]) < 0
    for slot in np.flatnonzero(active):
        pair = int(result.contacts.pair[slot, row])
        if pair < table.pairs.candidates[0].size:
            distance = float(result.contacts.distance[slot, row])
            pairs[geoms[pair]] = min(distance, pairs.get(geoms[pair], 0.0))
    return pairs


def test_box_pairs_and_depths_are_c_mujoco_s(
    pair_geoms, table, data, result, mjx_scene
):
    plane = int(mujoco.mjtGeom.mjGEOM_PLANE)
    for row, state in enumerate(data):
        expected: dict[frozenset[int], float] = {}
        for contact in state.contact:
            if mjx_scene.model.geom_type[contact.geom[0]] != plane and contact.dist < 0:
                key = frozenset(contact.geom.tolist())
                expected[key] = min(contact.dist, expected.get(key, 0.0))
        ours = solid_pairs(pair_geoms, table, result, row)
        assert ours.keys() == expected.keys()
        for key, distance in ours.items():
            np.testing.assert_allclose(distance, expected[key], atol=1e-6)
        assert len(ours) > 1 or row < 2  # the bowl with the hand, with the wrist


def test_things_at_rest_have_four_points_at_most(table, subset, result, mjx_scene):
    ground_contacts = jax.tree.map(
        lambda leaf: np.asarray(leaf).swapaxes(-1, -2), result.ground_contacts
    )
    active = (ground_contacts.distance < 0).reshape(BATCH, subset.slots, 4)
    body = table.pair_bodies[1, ground_contacts.pair].reshape(active.shape)
    for name in ("plate_1", "cream_cheese_1", "wine_bottle_1"):
        row = subset.bodies[mjx_scene.bodies[name]]
        points = np.sum(active & (body == row), axis=(1, 2))
        assert np.all((points >= 3) & (points <= 4)), name
    flat = active.reshape(BATCH, -1)
    np.testing.assert_allclose(ground_contacts.position[2][flat], WORKTOP, atol=1e-3)
    np.testing.assert_allclose(ground_contacts.normal[2][flat], 1.0)
    assert np.all(ground_contacts.pair[flat] >= table.pairs.candidates[0].size)


def test_touching_is_c_mujoco_s(data, result, mjx_scene):
    roots = mjx_scene.model.body_rootid[mjx_scene.model.geom_bodyid]
    for row, state in enumerate(data):
        active = state.contact.geom[state.contact.dist < 0]
        ends = [set(pair) for pair in roots[active].tolist()]
        for column, pair in enumerate(mjx_scene.contact_pairs):
            expected = {mjx_scene.bodies[name] for name in pair} in ends
            assert bool(result.touching[row, column]) == expected, pair
    assert np.asarray(result.touching).any()


def test_nothing_overflows_and_padding_is_no_contact(result):
    np.testing.assert_array_equal(result.overflow, 0)
    distance = np.asarray(result.contacts.distance)
    assert np.all((distance < 0) | (distance == NO_CONTACT))


def test_no_list_of_pairs_is_sorted(searching):
    # XLA turns a top_k whose last value is read into a sort, eight times slower.
    assert " sort(" not in searching[1].as_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "budget, lost",
    [
        ({"contacts": 2}, lambda active: np.maximum(active["contacts"] - 2, 0)),
        ({"pairs": 1}, lambda active: np.maximum(active["pairs"] - 1, 0)),
        ({"near": 3}, lambda active: active["near"] >= 3),
        ({"drivers": 2}, lambda active: np.maximum(active["drivers"] - 2, 0)),
    ],
)
def test_what_does_not_fit_is_counted(
    pair_geoms, table, subset, data, result, budget, lost
):
    small = table._replace(budget=table.budget._replace(**budget))
    arguments, program = compiled(small, subset, data, 0)
    overflow = np.asarray(program(*arguments)[1].overflow)
    near = np.array([near_pairs(table, state) for state in data])
    active = {
        "contacts": np.sum(np.asarray(result.contacts.distance) < 0, axis=0),
        "pairs": np.array(
            [len(solid_pairs(pair_geoms, table, result, k)) for k in range(BATCH)]
        ),
        "near": near.sum(axis=(1, 2)),
        "drivers": near.any(axis=2).sum(axis=1),
    }
    np.testing.assert_array_equal(overflow, lost(active))
    assert overflow.max() > 0


def near_pairs(table, state):
    """bool [D, G]: candidate pairs whose world-aligned boxes overlap."""
    rows, geom_half = table.pairs.geoms[0], table.geom_half[0]
    axes = np.abs(state.geom_xmat[rows].reshape(-1, 3, 3))
    reach = np.einsum("gij,jg->gi", axes, geom_half)
    at, candidates = state.geom_xpos[rows], table.pairs.candidates[0]
    drivers = len(candidates)
    apart = np.abs(at[:drivers, None] - at)
    apart = np.max(apart - reach[:drivers, None] - reach, axis=-1)
    return (apart < 0) & candidates


# A crate over two tables, one of which is parked far below.
TABLES = """<mujoco><worldbody>
  <body><geom type="plane" size="1 1 .1" friction=".3 .01 .001"/></body>
  <body><geom type="plane" size="1 1 .1" friction=".7 .01 .001"/></body>
  <body><freejoint/><geom type="box" size=".05 .05 .05" friction=".1 .01 .001"/></body>
</worldbody></mujoco>"""


@pytest.mark.slow
def test_the_highest_plane_is_the_ground():
    model = mujoco.MjModel.from_xml_string(TABLES)
    subset = body_subsets.all_bodies(model)._replace(slots=1)
    table = tables.build(model, [], [subset])
    heights = np.array([[0.5, -20.0, 0.549], [-20.0, 0.3, 0.349], [-20.0, -9.0, 1.0]])
    position = np.zeros((3, model.nbody, len(heights)), np.float32)
    position[2, 1:] = heights.T
    unit = np.eye(3, dtype=np.float32)[..., None, None]
    matrix = np.broadcast_to(unit, (3, *position.shape))
    rows = jnp.zeros(len(heights), int)

    @unoptimized.jit
    def run(position, matrix):
        found = collision.subset_tables(table, rows)
        return collision.collide(table, found, position, matrix, 0).ground_contacts

    result = run(jnp.asarray(position), jnp.asarray(matrix))
    active = np.asarray(result.distance) < 0
    np.testing.assert_array_equal(active.sum(axis=0), [4, 4, 0])
    pair = np.asarray(result.pair)
    for row, ground in ((0, 0), (1, 1)):
        rows = pair[active[:, row], row]
        np.testing.assert_array_equal(table.pair_bodies[0, rows], ground + 1)
        np.testing.assert_allclose(table.params[0, rows], (0.3, 0.7)[ground])
        height = np.asarray(result.position)[2, active[:, row], row]
        np.testing.assert_allclose(height, heights[row, ground], atol=1e-3)
