"""A small world with the constraints and accelerations of C MuJoCo beside ours."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx import vectors
from omnivla_jax.sim.engines.mjx.contact import (
    candidates,
    collision,
    constraint,
    geometry,
    jacobian,
    matrix_products,
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
    jacobian: jacobian.Jacobian
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
    mass: jax.Array  # [B, V, V]
    force: jax.Array  # [V, B], as the rest
    smooth: jax.Array
    motion: constraint.MotionAxes
    qvel: jax.Array
    joints: constraint.JointConstraints


def _constraints(model, states, slots=0):
    def batch(read):
        return jnp.float32(np.stack([read(data) for data in states], axis=-1))

    table = tables.build(
        model, [], [body_subsets.all_bodies(model)._replace(slots=slots)]
    )
    position = batch(lambda data: data.xpos.T)
    matrix = batch(lambda data: np.moveaxis(data.xmat.reshape(-1, 3, 3), 0, -1))
    subset = jnp.zeros(len(states), int)

    joints = constraint.joint_tables(model)

    @unoptimized.jit
    def program(position, matrix, qpos, qvel):
        tables = collision.subset_tables(table, subset)
        limits = constraint.joint_constraints(joints, qpos, qvel)
        return collision.collide(table, tables, position, matrix, 0), limits

    roots = model.body_rootid[model.dof_bodyid]
    cdof, com = batch(lambda d: d.cdof.T), batch(lambda d: d.subtree_com[roots].T)
    qpos, qvel = batch(lambda data: data.qpos), batch(lambda data: data.qvel)
    result, limits = program(position, matrix, qpos, qvel)
    return Constraints(
        table,
        result.contacts,
        result.ground_contacts,
        jnp.moveaxis(batch(lambda data: _full_mass(model, data)), -1, 0),
        batch(lambda data: data.qfrc_smooth),
        batch(lambda data: data.qacc_smooth),
        constraint.MotionAxes(cdof[:3], cdof[3:] - vectors.cross(cdof[:3], com)),
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
    _, jac = _rows(result)
    return World(model, states, result.contacts, jac, _problem(result))


def _rows(result):
    """The contact rows and their Jacobian."""
    table = result.table

    @unoptimized.jit
    def program(contacts, ground_contacts, motion):
        rows = constraint.contact_constraints(table, contacts, ground_contacts)
        slots = table.pairs.slots
        return rows, jacobian.contact_jacobian(rows, motion, table.moves, slots)

    return program(result.contacts, result.ground_contacts, result.motion)


def _problem(result):
    rows, jac = _rows(result)
    contacts = constraint.friction_contacts(
        jacobian.jac_mul(jac, result.qvel), *rows[2:]
    )
    products = matrix_products.matrix_products(result.mass, jac)
    return solver.Problem(products, result.force, contacts, result.joints)


@pytest.fixture(scope="session")
def problem():
    """A function of the parts: the problem."""
    return _problem


def _solver_inputs(part):
    slots, mass = part.table.pairs.slots, jnp.moveaxis(part.mass, 0, -1)
    size = len(mass) - jacobian.FREE_DOFS * slots
    blocks = [slice(k, k + jacobian.FREE_DOFS) for k in range(size, len(mass), 6)]
    return solver.SolverInputs(
        constraint.contact_constraints(part.table, part.contacts, part.ground_contacts),
        part.motion,
        mass[:size, :size],
        jnp.stack([mass[block, block] for block in blocks], axis=2),
        part.smooth[size:],
        part.force,
        part.joints,
        part.qvel,
        jnp.zeros_like(part.qvel),
    )


@pytest.fixture(scope="session")
def solver_inputs():
    """A function of the parts with slots: what the solvers take."""
    return _solver_inputs


def _full_mass(model, data):
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    return full
