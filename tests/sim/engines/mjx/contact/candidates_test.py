"""Tests of contact.candidates: which geoms can touch, subset by subset."""

import mujoco
import numpy as np
import pytest
from mujoco.mjx._src import collision_driver

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines.mjx import active_bodies
from omnivla_jax.sim.engines.mjx.contact import candidates
from tests.helpers import body_subsets

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


def test_every_candidate_pair_is_one_row(pair_geoms):
    scene = scenes.make("libero_goal", engine="mjx")
    pairs = candidates.find_candidates(
        scene.model, [body_subsets.all_bodies(scene.model)]
    )
    present = [pair for pair in pair_geoms(pairs) if pair is not None]
    assert len(present) == len(set(present))
    assert set(present) == allowed(scene.model, np.ones(scene.model.nbody, bool))
    assert pairs.candidates.shape[1] <= scene.model.ngeom / 2


def test_every_subset_has_its_own_pairs(pair_geoms):
    scene = scenes.make("libero_object", tasks=(0, 1, 2), engine="mjx")
    body_subsets = active_bodies.body_subsets(active_bodies.active_bodies(scene))
    pairs = candidates.find_candidates(scene.model, body_subsets)
    pair_sets = []
    for row, subset in enumerate(body_subsets):
        present = [pair for pair in pair_geoms(pairs, row) if pair is not None]
        assert len(present) == len(set(present))
        assert set(present) == allowed(scene.model, subset.present)
        pair_sets.append(frozenset(present))
    assert len(set(pair_sets)) == len(body_subsets) == 3


def test_boxes_of_one_body_share_a_group(model):
    pairs = candidates.find_candidates(model, [body_subsets.all_bodies(model)])
    boxes = pairs.geoms[0, pairs.boxes_on_plane[0, pairs.body_boxes[0]]]
    assert [set(row) for row in model.geom_bodyid[boxes].tolist()] == [{1}, {2}]
    assert boxes.shape == (2, 2)  # the second padded by itself


def test_an_empty_slot_stands_on_nothing(model):
    """Two subsets: crate and lid in the slots, and the lid alone in the first."""
    bodies = np.array([[0, 1, 2], [0, 0, 1]])
    present = np.array([[True, True, True], [True, False, True]])
    dofs = np.array([np.arange(12), [*range(6, 12), *[12] * 6]])
    body_subsets = [
        candidates.BodySubset(*row, 3, 2) for row in zip(bodies, present, dofs)
    ]
    pairs = candidates.find_candidates(model, body_subsets)
    assert pairs.body_boxes.shape[1] == 2  # no body but the slots'
    empty = pairs.body_boxes[1, 1]
    assert not pairs.collides_with_plane[1][:, empty].any()
    assert pairs.collides_with_plane[0][:, pairs.body_boxes[0].ravel()].all()
