"""A small world whose constraint rows and accelerations C MuJoCo knows as well."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx.contact import candidates, collision
from omnivla_jax.sim.engines.mjx.contact import constraint as rows
from omnivla_jax.sim.engines.mjx.contact import geometry, solver, tables

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


class Pieces(NamedTuple):
    """What a problem is made of, for states that C MuJoCo has been through."""

    table: tables.ContactTables
    contacts: geometry.Contacts
    standing: geometry.Contacts
    mass: jax.Array
    force: jax.Array
    motion: rows.Motion
    qvel: jax.Array
    joints: rows.Joints


def _pieces(model, states, slots=0):
    def batch(read):
        return jnp.float32(np.array([read(data) for data in states]))

    table = tables.build(model, [], [candidates.whole(model)._replace(slots=slots)])
    position = batch(lambda data: data.xpos)
    matrix = batch(lambda data: data.xmat.reshape(-1, 3, 3))
    cast = jnp.zeros(len(states), int)

    @jax.jit
    def program(position, matrix):
        geoms = collision.boxes(table, cast, position, matrix)
        return collision.search(table, cast, geoms, 0)

    found = program(position, matrix)
    roots = model.body_rootid[model.dof_bodyid]
    cdof, com = batch(lambda d: d.cdof), batch(lambda d: d.subtree_com[roots])
    qpos, qvel = batch(lambda data: data.qpos), batch(lambda data: data.qvel)
    return Pieces(
        table,
        found.contacts,
        found.standing,
        batch(lambda data: _full_mass(model, data)),
        batch(lambda data: data.qfrc_smooth),
        rows.Motion(cdof[..., :3], cdof[..., 3:] - jnp.cross(cdof[..., :3], com)),
        qvel,
        rows.joint_rows(rows.joint_tables(model), qpos, qvel),
    )


def _entries(found, cast=0):
    geoms = found.geoms[cast]
    real = np.concatenate([found.candidates[cast].ravel(), found.meets[cast].ravel()])
    rows = zip(*(ends[cast] for ends in candidates.ends(found)), real)
    return [frozenset(geoms[[a, b]].tolist()) if ok else None for a, b, ok in rows]


@pytest.fixture(scope="session")
def entries():
    """A function of the pairs of a cast: the geoms of each entry that is a pair."""
    return _entries


@pytest.fixture(scope="session")
def pieces():
    """A function of a model and its states."""
    return _pieces


@pytest.fixture(scope="session")
def world():
    model = mujoco.MjModel.from_xml_string(XML)
    states = _states(model)
    found = _pieces(model, states)
    return World(model, states, found.contacts, _problem(found))


def _problem(found):
    contacts = found.contacts, found.standing
    cones = rows.contact_rows(found.table, *contacts, found.motion, found.qvel)
    return solver.Problem(found.mass, found.force, cones, found.joints)


@pytest.fixture(scope="session")
def problem():
    """A function of the pieces: the problem."""
    return _problem


def _full_mass(model, data):
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    return full
