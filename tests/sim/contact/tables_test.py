"""Tests of contact.tables: which geoms pair up, and MuJoCo's mixed parameters."""

import mujoco
import numpy as np
import pytest
from mujoco.mjx._src import collision_driver

from omnivla_jax.sim.contact import tables

XML = """<mujoco><option timestep="0.005" impratio="7"/><worldbody>
  <geom name="floor" type="plane" size="1 1 .1" friction=".6 .01 .001"/>
  <body name="crate" pos="0 0 .0495"><freejoint/>
    <geom name="a" type="box" size=".05 .05 .05" friction="2 .02 .001"
      solref=".001 1" solimp=".99 .998 .001 .5 2" solmix="3"/>
    <geom name="c" type="box" size=".05 .05 .05" pos=".2 0 0"/></body>
  <body name="lid" pos="0 0 .1"><freejoint/>
    <geom name="b" type="box" size=".03 .03 .001" condim="4" {extra}/></body>
</worldbody></mujoco>"""
CAPSULE = 'type="capsule" size=".03 .04"'
CROWD = tables.Crowd(movables=2, stacked=False)


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(XML.format(extra=""))


def entry_pairs(table, geoms):
    """The pairs (unordered) of each entry that is one."""
    grid = [
        (table.drivers[i], j) if table.candidates[i, j] else None
        for i in range(len(table.drivers))
        for j in range(geoms)
    ]
    ground = [
        (plane, box) if meets else None
        for plane, row in zip(table.planes, table.meets)
        for box, meets in zip(table.grounded, row)
    ]
    return grid + ground


def test_every_candidate_pair_is_one_entry(scene):
    model = scene.model
    table = tables.build(model, [], CROWD)
    pairs = [p for p in entry_pairs(table, model.ngeom) if p is not None]
    expected = {frozenset((a, b)) for a, b, _ in collision_driver.geom_pairs(model)}
    assert len(pairs) == len(expected)
    assert {frozenset(int(g) for g in pair) for pair in pairs} == expected
    assert len(table.drivers) < model.ngeom / 2


def test_parameters_are_those_of_c_mujoco_s_contacts(model):
    table = tables.build(model, [], CROWD)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    found = set()
    for index, pair in enumerate(entry_pairs(table, model.ngeom)):
        for contact in data.contact:
            if pair is None or set(contact.geom) != {int(g) for g in pair}:
                continue
            found.add(index)
            slide, spin, stiffness, damping = table.response[:4, index]
            np.testing.assert_allclose(slide, contact.friction[0], rtol=1e-6)
            expected = contact.friction[2] if contact.dim == 4 else 0.0
            np.testing.assert_allclose(spin, expected, rtol=1e-6)
            np.testing.assert_allclose(table.response[5:, index], contact.solimp, 1e-6)
            gains = data.efc_KBIP[contact.efc_address]
            np.testing.assert_allclose([stiffness, damping], gains[:2], rtol=1e-5)
    assert len(found) == 3  # the floor and both boxes of the crate, crate and lid


def test_weights_and_moves_follow_the_bodies(model):
    table = tables.build(model, [], CROWD)
    np.testing.assert_array_equal(table.moves.sum(axis=1), [0, 6, 6])
    row = table.candidates.size  # the first plane entry: floor and crate
    assert [int(body) for body in table.bodies[:, row]] == [0, 1]
    np.testing.assert_allclose(
        table.response[4, row], model.body_invweight0[1, 0], rtol=1e-6
    )
    assert table.impratio == 7


def test_boxes_of_one_body_share_a_group(model):
    table = tables.build(model, [], CROWD)
    bodies = [set(model.geom_bodyid[table.grounded[row]]) for row in table.groups]
    assert bodies == [{1}, {2}]
    assert set(table.groups[1]) == {2}  # padded by itself


def test_watched_pairs_in_either_order(model):
    for pair in ((1, 2), (2, 1)):
        table = tables.build(model, [pair], CROWD)
        for row, ends in zip(table.watched, table.bodies.T):
            assert (row == 0) == (set(ends.tolist()) == {1, 2})


def test_priority_wins():
    model = mujoco.MjModel.from_xml_string(
        XML.format(extra='priority="1" friction=".1 .2 .3" solref=".05 1"')
    )
    table = tables.build(model, [], CROWD)
    for index, pair in enumerate(entry_pairs(table, model.ngeom)):
        if pair is not None and 3 in pair:
            np.testing.assert_allclose(table.response[:2, index], [0.1, 0.2], 1e-6)


def test_a_capsule_collides_as_the_box_around_it():
    text = XML.format(extra="").replace('type="box" size=".03 .03 .001"', CAPSULE)
    model = mujoco.MjModel.from_xml_string(text)
    table = tables.build(model, [], CROWD)
    np.testing.assert_allclose(table.half[:, 3], [0.03, 0.03, 0.07], rtol=1e-6)
    np.testing.assert_allclose(table.half[:, 1], 0.05, rtol=1e-6)
    assert any(pair is not None and 3 in pair for pair in entry_pairs(table, 4))


@pytest.mark.parametrize(
    "extra, named",
    [
        ('type="cylinder"', "CYLINDER"),
        ('condim="6"', "condim 6"),
        ('margin="0.01"', "margin 0.01"),
        ('solref="-100 -1"', "-100"),
    ],
)
def test_what_the_engine_does_not_know_is_an_error(extra, named):
    text = XML.format(extra=extra)
    if "type" in extra:
        text = text.replace('name="b" type="box"', 'name="b"')
    if "condim" in extra:
        text = text.replace('condim="4" ', "")
    with pytest.raises(ValueError, match=f"lid.*{named}"):
        tables.build(mujoco.MjModel.from_xml_string(text), [], CROWD)


def test_more_room_where_things_start_on_others(model):
    few, many = (
        tables.build(model, [], tables.Crowd(movables=3, stacked=stacked)).budget
        for stacked in (False, True)
    )
    assert many.pairs > few.pairs and many.contacts > few.contacts
    larger = tables.build(model, [], tables.Crowd(movables=4, stacked=False)).budget
    assert larger.contacts == few.contacts + 4  # points of what stands on the ground
