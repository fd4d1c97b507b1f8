"""Tests of contact.solver_kernel, interpreted, against the matrix products."""

import jax
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx.contact import matrix_products, solver_kernel

# A crate at rest on the floor, and one that has landed on a hinged arm.
CRATE = """<body pos="{x} 0 {z}"><freejoint/>
  <geom type="box" size=".05 .05 .05" mass=".3" friction=".5 .02 .001"/></body>"""
XML = f"""<mujoco><option timestep="0.005" impratio="20" cone="elliptic"/>
<worldbody><geom type="plane" size="2 2 .1"/>
  <body pos="1 0 .03"><joint type="hinge" axis="0 1 0" frictionloss=".1"/>
    <geom type="box" size=".2 .02 .02" mass="1"/></body>
  {CRATE.format(x=0, z=0.049)}{CRATE.format(x=1, z=0.0995)}
</worldbody></mujoco>"""
BATCH, SLOTS, ITERATIONS = 2, 2, 2


@pytest.fixture(scope="module")
def part(constraints):
    model, states = mujoco.MjModel.from_xml_string(XML), []
    for row in range(BATCH):
        data = mujoco.MjData(model)
        data.qvel[:] = np.linspace(-0.3, 0.5, model.nv) * row
        mujoco.mj_forward(model, data)
        states.append(data)
    return constraints(model, states, slots=SLOTS)


@pytest.mark.slow
def test_the_kernel_finds_the_same_minimum(part, solver_inputs):
    inputs, moves = solver_inputs(part), part.table.moves
    expected = jax.jit(
        lambda inputs: matrix_products.solve(inputs, moves, iterations=ITERATIONS)
    )(inputs)
    moved = solver_kernel.moved_bodies(moves)
    found = jax.jit(
        lambda inputs: solver_kernel.solve(
            inputs, moved, iterations=ITERATIONS, interpret=True
        )
    )(inputs)
    for ours, theirs in zip(found, expected, strict=True):
        scale = np.abs(np.asarray(theirs)).max()
        assert scale > 1
        np.testing.assert_allclose(ours, theirs, atol=2e-4 * scale)


def test_each_degree_of_freedom_moves_consecutive_bodies(part):
    moves = part.table.moves
    first, last = solver_kernel.moved_bodies(moves)
    rows = np.arange(len(moves))[:, None]
    np.testing.assert_array_equal((rows >= first) & (rows <= last), moves)
    gap = np.array([[True], [False], [True]])
    with pytest.raises(ValueError, match=r"bodies \[0, 2\]"):
        solver_kernel.moved_bodies(gap)


def test_nothing_is_moved_by_an_empty_slot():
    first, last = solver_kernel.moved_bodies(np.zeros((3, 1), bool))
    assert first[0] > last[0]
