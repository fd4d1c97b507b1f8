"""Tests of contact.active: solving for what touches is solving for everything."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.contact import active, newton, rows

# A hinge between the crates, so that what is always solved for is not in one piece.
CRATE = """<body pos="{x} 0 {z}"><freejoint/>
  <geom type="box" size=".05 .05 .05" mass=".3" friction=".5 .02 .001"/></body>"""
XML = f"""<mujoco><option timestep="0.005" impratio="20" cone="elliptic"/><worldbody>
  <geom type="plane" size="1 1 .1"/>
  {CRATE.format(x=0, z=0)}
  <body pos="3 0 1"><joint type="hinge" axis="0 1 0" frictionloss=".2"/>
    <geom type="box" size=".1 .02 .02" pos=".1 0 0" mass="1" contype="0"
      conaffinity="0"/></body>
  {CRATE.format(x=1, z=0)}
  {CRATE.format(x=2, z=0)}
</worldbody></mujoco>"""
TOUCH, AWAY = 0.049, 3.0  # m: height of a crate
HEIGHTS = ((TOUCH, AWAY, TOUCH), (AWAY, TOUCH, AWAY), (AWAY, AWAY, AWAY))
STARTS, HINGE = (0, 7, 13), 6  # degrees of freedom


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(XML)


@pytest.fixture(scope="module")
def found(model, pieces):
    states = []
    for heights in HEIGHTS:
        data = mujoco.MjData(model)
        data.qpos[[2, 10, 17]] = heights
        data.qvel[:] = np.linspace(-0.5, 0.5, model.nv)
        mujoco.mj_forward(model, data)
        states.append(data)
    return pieces(model, states), jnp.float32([data.qacc_smooth for data in states])


def solved(found, smooth, chosen):
    mass = active.take_square(chosen, found.mass)
    motion, qvel, force, joints, start = active.take(
        chosen, (found.motion, found.qvel, found.force, found.joints, smooth)
    )
    if chosen is not None:
        motion = motion._replace(dofs=chosen.dofs)
    cones = rows.contact_rows(found.table, found.contacts, motion, qvel)
    problem = newton.Problem(mass, force, cones, joints)
    acceleration, push = newton.solve(problem, start, start, iterations=6)
    return (
        active.put(chosen, acceleration, smooth),
        active.put(chosen, push, jnp.zeros_like(smooth)),
    )


def test_two_of_three_crates_are_solved_for_as_all_three(model, found):
    static = active.slots(model, 2)
    assert static is not None

    @jax.jit
    def both(smooth):
        chosen = active.choose(static, found[0].table, found[0].contacts)
        return solved(found[0], smooth, chosen), solved(found[0], smooth, None)

    for ours, all_of_them in zip(*both(found[1])):
        np.testing.assert_allclose(ours, all_of_them, rtol=1e-4, atol=1e-3)
    pushed = np.abs(all_of_them) > 1e-3  # the constraint forces
    assert pushed[0, :6].any() and pushed[1, 7:13].any() and pushed[:, HINGE].all()
    assert not pushed[2, 7:].any()


def test_who_touches_comes_first_and_the_hinge_is_always_there(model, found):
    static = active.slots(model, 2)
    assert static is not None
    chosen = active.choose(static, found[0].table, found[0].contacts)
    assert chosen is not None
    crates = np.asarray(chosen.dofs)[:, 1:].reshape(len(HEIGHTS), 2, active.FREE)
    np.testing.assert_array_equal(chosen.dofs[:, 0], HINGE)
    inside = np.tile(np.arange(active.FREE), (len(HEIGHTS), 2, 1))
    np.testing.assert_array_equal(crates - crates[..., :1], inside)
    order = [[STARTS[k] for k in row] for row in ((0, 2), (1, 0), (0, 1))]
    np.testing.assert_array_equal(crates[..., 0], order)
    every = np.arange(model.nv)
    for dofs, column in zip(np.asarray(chosen.dofs), np.asarray(chosen.column)):
        there = np.isin(every, dofs)
        np.testing.assert_array_equal(dofs[column[there]], every[there])
        assert np.all(column[~there] >= dofs.size)


def test_taking_and_putting_back(model, found):
    static = active.slots(model, 2)
    chosen = active.choose(static, found[0].table, found[0].contacts)
    assert chosen is not None
    values = jnp.arange(3.0 * model.nv).reshape(3, model.nv)
    back = active.put(chosen, 2 * active.take(chosen, values), values)
    there = (np.arange(model.nv) == np.asarray(chosen.dofs)[..., None]).any(axis=1)
    np.testing.assert_array_equal(back, np.where(there, 2 * values, values))
    square = values[:, :, None] * values[:, None]
    part = active.take_square(chosen, square)
    own = active.take(chosen, values)
    np.testing.assert_array_equal(part, own[:, :, None] * own[:, None])


def test_where_all_fit_nothing_is_chosen(model, found):
    assert active.slots(model, 3) is None
    assert active.choose(None, found[0].table, found[0].contacts) is None
    np.testing.assert_array_equal(active.take(None, found[1]), found[1])
    np.testing.assert_array_equal(active.put(None, found[1], -found[1]), found[1])
