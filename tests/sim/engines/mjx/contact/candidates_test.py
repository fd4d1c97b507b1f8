"""Tests of contact.pairs: who can meet whom, cast by cast."""

import mujoco
import numpy as np
import pytest
from mujoco.mjx._src import collision_driver

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines.mjx import active_bodies
from omnivla_jax.sim.engines.mjx.contact import candidates

XML = """<mujoco><worldbody>
  <geom type="plane" size="1 1 .1"/>
  <body><freejoint/><geom type="box" size=".05 .05 .05"/>
    <geom type="box" size=".05 .05 .05" pos=".2 0 0"/></body>
  <body><freejoint/><geom type="box" size=".03 .03 .01"/></body>
</worldbody></mujoco>"""


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(XML)


def allowed(model, present):
    """The pairs of geoms of `present` bodies that MuJoCo's filters let touch."""
    return {
        frozenset((int(a), int(b)))
        for a, b, _ in collision_driver.geom_pairs(model)
        if present[model.geom_bodyid[[a, b]]].all()
    }


def test_every_candidate_pair_is_one_entry(entries):
    scene = scenes.make("libero_goal", engine="mjx")
    found = candidates.find(scene.model, [candidates.whole(scene.model)])
    there = [pair for pair in entries(found) if pair is not None]
    assert len(there) == len(set(there))
    assert set(there) == allowed(scene.model, np.ones(scene.model.nbody, bool))
    assert found.candidates.shape[1] < scene.model.ngeom / 2


def test_every_play_has_its_own_pairs(entries):
    scene = scenes.make("libero_object", tasks=(0, 1, 2), engine="mjx")
    body_subsets = active_bodies.body_subsets(active_bodies.plays(scene))
    found = candidates.find(scene.model, body_subsets)
    every = []
    for row, cast in enumerate(body_subsets):
        there = [pair for pair in entries(found, row) if pair is not None]
        assert len(there) == len(set(there))
        assert set(there) == allowed(scene.model, cast.present)
        every.append(frozenset(there))
    assert len(set(every)) == len(body_subsets) == 3


def test_boxes_of_one_body_share_a_group(model):
    found = candidates.find(model, [candidates.whole(model)])
    boxes = found.geoms[0, found.grounded[0, found.groups[0]]]
    assert [set(row) for row in model.geom_bodyid[boxes].tolist()] == [{1}, {2}]
    assert boxes.shape == (2, 2)  # the second padded by itself


def test_an_empty_slot_stands_on_nothing(model):
    """Two casts: the crate in the first slot, the lid alone in the second cast's."""
    bodies = np.array([[0, 1, 2], [0, 0, 1]])
    present = np.array([[True, True, True], [True, False, True]])
    dofs = np.array([np.arange(12), [*range(6, 12), *[12] * 6]])
    body_subsets = [
        candidates.BodySubset(*row, 3, 2) for row in zip(bodies, present, dofs)
    ]
    found = candidates.find(model, body_subsets)
    assert found.groups.shape[1] == 2  # no body but the slots'
    empty = found.groups[1, 1]
    assert not found.meets[1][:, empty].any()
    assert found.meets[0][:, found.groups[0].ravel()].all()
