"""Tests of contact.tables: MuJoCo's mixed parameters, and where geoms are."""

import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx.contact import candidates, tables
from tests.helpers import body_subsets

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


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(XML.format(extra=""))


def build(model, sensor_pairs=(), **options):
    return tables.build(
        model, sensor_pairs, [body_subsets.all_bodies(model)], **options
    )


def test_parameters_are_those_of_c_mujoco_s_contacts(model, pair_geoms):
    table = build(model)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    found = set()
    for index, pair in enumerate(pair_geoms(table.pairs)):
        for contact in data.contact:
            if pair != set(contact.geom.tolist()):
                continue
            found.add(index)
            slide, spin, stiffness, damping = table.params[:4, index]
            np.testing.assert_allclose(slide, contact.friction[0], rtol=1e-6)
            expected = contact.friction[2] if contact.dim == 4 else 0.0
            np.testing.assert_allclose(spin, expected, rtol=1e-6)
            np.testing.assert_allclose(table.params[5:, index], contact.solimp, 1e-6)
            gains = data.efc_KBIP[contact.efc_address]
            np.testing.assert_allclose([stiffness, damping], gains[:2], rtol=1e-5)
    assert len(found) == 3  # the floor and both boxes of the crate, crate and lid


def test_weights_and_moves_follow_the_bodies(model):
    table = build(model)
    np.testing.assert_array_equal(table.moves.sum(axis=1), [0, 6, 6])
    row = table.pairs.candidates[0].size  # the first plane entry: floor and crate
    assert [int(body) for body in table.pair_bodies[:, row]] == [0, 1]
    np.testing.assert_allclose(
        table.params[4, row], model.body_invweight0[1, 0], rtol=1e-6
    )
    assert table.impratio == 7


def test_sensor_pairs_in_either_order(model):
    for pair in ((1, 2), (2, 1)):
        table = build(model, [pair])
        for row, ends in zip(table.sensor, table.pair_bodies.T):
            assert (row == 0) == (set(ends.tolist()) == {1, 2})


def test_priority_wins(pair_geoms):
    model = mujoco.MjModel.from_xml_string(
        XML.format(extra='priority="1" friction=".1 .2 .3" solref=".05 1"')
    )
    table = build(model)
    for index, pair in enumerate(pair_geoms(table.pairs)):
        if pair is not None and 3 in pair:
            np.testing.assert_allclose(table.params[:2, index], [0.1, 0.2], 1e-6)


def test_a_capsule_collides_as_the_box_around_it():
    text = XML.format(extra="").replace('type="box" size=".03 .03 .001"', CAPSULE)
    model = mujoco.MjModel.from_xml_string(text)
    table = build(model)
    half = dict(zip(table.pairs.geoms[0].tolist(), table.geom_half[0].T))
    np.testing.assert_allclose(half[3], [0.03, 0.03, 0.07], rtol=1e-6)
    np.testing.assert_allclose(half[1], 0.05, rtol=1e-6)


@pytest.mark.parametrize(
    "extra, named",
    [
        ('type="cylinder"', "CYLINDER"),
        ('condim="6"', "condim 6"),
        ('margin="0.01"', "margin 0.01"),
        ('solref="-100 -1"', "-100"),
    ],
)
def test_unsupported_geoms_are_errors(extra, named):
    text = XML.format(extra=extra)
    if "type" in extra:
        text = text.replace('name="b" type="box"', 'name="b"')
    if "condim" in extra:
        text = text.replace('condim="4" ', "")
    with pytest.raises(ValueError, match=f"lid.*{named}"):
        build(mujoco.MjModel.from_xml_string(text))


def test_the_budget_can_be_chosen(model):
    budget = tables.BUDGET_TABLE._replace(pairs=3, contacts=5)
    assert build(model, budget=budget).budget == budget


def test_geoms_are_placed_as_c_mujoco_places_them(model):
    """A subset without the crate: the lid's box has its own place and size."""
    present = np.array([True, False, True])
    subset = candidates.BodySubset(np.array([0, 0, 1]), present, np.arange(6, 12), 2, 1)
    table = tables.build(model, [], [subset])
    geoms = table.pairs.geoms[0].tolist()
    assert geoms == [0, 3] and table.geom_body[0].tolist() == [0, 1]
    np.testing.assert_allclose(table.geom_half[0, :, 1], model.geom_size[3], rtol=1e-6)
    np.testing.assert_array_equal(table.moves, [[False] * 6, [True] * 6])
