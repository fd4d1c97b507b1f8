"""A small world with the constraints and accelerations of C MuJoCo beside ours."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx.contact import (
    candidates,
    collision,
    constraint,
    geometry,
    solver,
    tables,
)
from tests.helpers import body_subsets, unoptimized

# A crate that slides and spins on the floor, a slide in its limit, a rubbing hinge.
XML = """<mujoco>
  <option timestep="0.005" impratio="20" cone="elliptic" jacobian="dense"
    iterations="100" tolerance="1e-12"/>
  <worldbody>
    <geom type="plane" size="1 1 .1" friction=".6 .01 .001" condim="4"/>
    <body pos="0 0 .0495"><freejoint/>
      <geom type="box" size=".05 .04 .05" mass=".3" friction=".5 .02 .001"
        solref=".001 1" solimp=".99 .998 .001 .5 2"/></body>
    <body pos="1 0 1"><joint type="slide" axis="0 0 1" range="-.1 .1" limited="true"/>
      <geom type="box" size=".1 .1 .1" mass="2" contype="0" conaffinity="0"/>
      <body><joint type="hinge" axis="0 1 0" frictionloss=".2"/>
        <geom type="box" size=".1 .02 .02" pos=".1 0 0" mass="1" contype="0"
          conaffinity="0"/></body></body>
  </worldbody>
</mujoco>"""
# Rows: sliding fast, at rest with the limit passed, tumbling on an edge, in the air.
HEIGHT, SPEED = (0.0495, 0.0495, 0.052, 0.2), (1.0, 0.0, 0.3, 0.0)
TILT, SLIDE = (0.0, 0.0, 0.2, 0.3), (0.0, -0.1005, 0.1003, 0.0)


class World(NamedTuple):
    """The batch as C MuJoCo sees it, and as the package does."""

    model: mujoco.MjModel
    data: list[mujoco.MjData]
    contacts: geometry.Contacts
    problem: solver.Problem


def _states(model):
    states = []
    for height, speed, tilt, slide in zip(HEIGHT, SPEED, TILT, SLIDE):
        data = mujoco.MjData(model)
        data.qpos[2], data.qpos[7] = height, slide
        data.qpos[3:7] = [np.cos(tilt / 2), np.sin(tilt / 2), 0, 0]
        data.qvel[:] = [speed, 0.2 * speed, 0, 0.1 * speed, 0, 3 * speed, -speed, speed]
        mujoco.mj_forward(model, data)
        states.append(data)
    return states


class Constraints(NamedTuple):
    """The parts of a problem, for states that C MuJoCo has computed."""

    table: tables.ContactTables
    contacts: geometry.Contacts
    ground_contacts: geometry.Contacts
    mass: jax.Array
    force: jax.Array
    motion: constraint.MotionAxes
    qvel: jax.Array
    joints: constraint.JointConstraints


def _constraints(model, states, slots=0):
    def batch(read):
        return jnp.float32(np.array([read(data) for data in states]))

    table = tables.build(
        model, [], [body_subsets.all_bodies(model)._replace(slots=slots)]
    )
    position = batch(lambda data: data.xpos)
    matrix = batch(lambda data: data.xmat.reshape(-1, 3, 3))
    subset = jnp.zeros(len(states), int)

    joints = constraint.joint_tables(model)

    @unoptimized.jit
    def program(position, matrix, qpos, qvel):
        geoms = collision.geom_boxes(table, subset, position, matrix)
        limits = constraint.joint_constraints(joints, qpos, qvel)
        return collision.collide(table, subset, geoms, 0), limits

    roots = model.body_rootid[model.dof_bodyid]
    cdof, com = batch(lambda d: d.cdof), batch(lambda d: d.subtree_com[roots])
    qpos, qvel = batch(lambda data: data.qpos), batch(lambda data: data.qvel)
    result, limits = program(position, matrix, qpos, qvel)
    return Constraints(
        table,
        result.contacts,
        result.ground_contacts,
        batch(lambda data: _full_mass(model, data)),
        batch(lambda data: data.qfrc_smooth),
        constraint.MotionAxes(
            cdof[..., :3], cdof[..., 3:] - jnp.cross(cdof[..., :3], com)
        ),
        qvel,
        limits,
    )


def _pair_geoms(result, subset=0):
    geoms = result.geoms[subset]
    real = np.concatenate(
        [result.candidates[subset].ravel(), result.collides_with_plane[subset].ravel()]
    )
    rows = zip(*(ends[subset] for ends in candidates.pair_geoms(result)), real)
    return [frozenset(geoms[[a, b]].tolist()) if ok else None for a, b, ok in rows]


@pytest.fixture(scope="session")
def pair_geoms():
    """A function of candidate pairs: the geoms of each row that is a pair."""
    return _pair_geoms


@pytest.fixture(scope="session")
def constraints():
    """A function of a model and its states: the parts of a problem."""
    return _constraints


@pytest.fixture(scope="session")
def world():
    model = mujoco.MjModel.from_xml_string(XML)
    states = _states(model)
    result = _constraints(model, states)
    return World(model, states, result.contacts, _problem(result))


def _problem(result):
    rows = functools.partial(constraint.contact_constraints, result.table)
    contacts = unoptimized.jit(rows)(
        result.contacts, result.ground_contacts, result.motion, result.qvel
    )
    return solver.Problem(result.mass, result.force, contacts, result.joints)


@pytest.fixture(scope="session")
def problem():
    """A function of the parts: the problem."""
    return _problem


def _full_mass(model, data):
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    return full
