"""Tests of contact.solver against C MuJoCo's converged accelerations."""

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim.engines.mjx.contact import solver
from tests.helpers import unoptimized


@pytest.fixture(scope="module")
def smooth(world):
    return jnp.float32(np.array([data.qacc_smooth for data in world.data]).T)


@pytest.fixture(scope="module")
def solve(world):
    program = compilation.jit(
        lambda warm, smooth, iterations: solver.solve(
            world.problem, warm, smooth, iterations=iterations
        )
    )

    def run(*arguments):
        return jax.tree.map(np.asarray, program(*arguments))

    return run


def test_accelerations_and_forces_are_mujoco_s(world, smooth, solve):
    acceleration, force = solve(jnp.zeros_like(smooth), smooth, 12)
    for row, data in enumerate(world.data):
        scale = np.abs(data.qacc).max() + 1.0
        np.testing.assert_allclose(acceleration[:, row], data.qacc, atol=1e-3 * scale)
        scale = np.abs(data.qfrc_constraint).max() + 1.0
        expected = data.qfrc_constraint
        np.testing.assert_allclose(force[:, row], expected, atol=1e-3 * scale)


def test_every_iteration_lowers_the_cost(world, smooth, solve):
    costs = []
    for iterations in range(5):
        acceleration, _ = solve(jnp.zeros_like(smooth), smooth, iterations)
        costs.append(cost(world, acceleration, smooth))
    assert np.all(np.diff(costs, axis=0) < 1e-3 * (1 + np.abs(costs[0])))
    assert np.all(costs[-1] < costs[0] + 1e-6)


def cost(world, acceleration, smooth):
    problem = world.problem
    point = solver._point(problem, acceleration, problem.products.mass(acceleration))
    return np.asarray(solver._cost(problem, point, smooth))[0]


def test_it_stays_at_the_solution(world, smooth, solve):
    solution = jnp.float32(np.array([data.qacc for data in world.data]).T)
    acceleration, _ = solve(solution, smooth, 1)
    scale = np.abs(solution).max(axis=0) + 1.0
    np.testing.assert_allclose(acceleration / scale, solution / scale, atol=1e-3)


def test_without_constraints_nothing_changes(world, smooth, solve):
    flying = len(world.data) - 1  # in the air; only its hinge rubs
    acceleration, force = solve(jnp.zeros_like(smooth), smooth, 2)
    np.testing.assert_allclose(acceleration[:7, flying], smooth[:7, flying], atol=1e-3)
    np.testing.assert_allclose(force[:7, flying], 0.0, atol=1e-4)
    assert abs(force[7, flying]) <= 0.2 + 1e-4  # the frictionloss


# A crate at rest on the floor, and one that has landed on a hinged arm.
CRATE = """<body pos="{x} 0 {z}"><freejoint/>
  <geom type="box" size=".05 .05 .05" mass=".3" friction=".5 .02 .001"/></body>"""
STANDING = f"""<mujoco><option timestep="0.005" impratio="20" cone="elliptic"/>
<worldbody><geom type="plane" size="2 2 .1"/>
  <body pos="1 0 .03"><joint type="hinge" axis="0 1 0"/>
    <geom type="box" size=".2 .02 .02" mass="1"/></body>
  {CRATE.format(x=0, z=0.049)}{CRATE.format(x=1, z=0.0995)}
</worldbody></mujoco>"""


@pytest.mark.slow
def test_blocks_and_dense_rows_agree(constraints, problem):
    """Ground contacts in blocks of their own give the same minimum."""
    model = mujoco.MjModel.from_xml_string(STANDING)
    data = mujoco.MjData(model)
    data.qvel[:] = np.linspace(-0.3, 0.5, model.nv)
    mujoco.mj_forward(model, data)
    dense = constraints(model, [data])
    in_slots = constraints(model, [data], slots=2)
    there = np.asarray(in_slots.ground_contacts.distance).reshape(2, 4) < 0
    assert np.sum(there, axis=1).tolist() == [4, 0]
    smooth = jnp.float32(data.qacc_smooth)[:, None]
    both = [
        unoptimized.jit(functools.partial(solver.solve, problem(part), iterations=8))(
            smooth, smooth
        )
        for part in (dense, in_slots)
    ]
    for ours, theirs in zip(*both):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(both[0][0][:, 0], data.qacc, rtol=1e-2, atol=1e-2)


def test_nan_stays_in_its_own_row(smooth, solve):
    clean, _ = solve(jnp.zeros_like(smooth), smooth, 2)
    broken, _ = solve(smooth.at[:, 0].set(jnp.nan), smooth.at[:, 0].set(jnp.nan), 2)
    assert not np.any(np.isfinite(broken[:, 0]))
    repeated, _ = solve(smooth, smooth, 2)
    np.testing.assert_array_equal(broken[:, 1:], repeated[:, 1:])
    assert np.isfinite(clean).all()
