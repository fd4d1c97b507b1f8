"""The solver as one Pallas kernel for TPUs, whose lanes are environments.

A launch costs a TPU as much as thousands of these small products, and a matrix for each
environment fills a fifth of its registers: so the Jacobian, the Hessian and its
elimination stay in the kernel's memory, with the batch last.
Axes: 6 components, 4 rows a contact, K contacts, V degrees of freedom; B environments
last, of which a program of the grid has LANE_COUNT.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from omnivla_jax.sim.engines.mjx.contact import solver
from omnivla_jax.sim.engines.mjx.contact.constraint import (
    ContactRows,
    JointConstraints,
    friction_contacts,
)
from omnivla_jax.sim.engines.mjx.contact.solver import SolverInputs
from omnivla_jax.sim.engines.mjx.lanes import LANE_COUNT, MEMORY_LIMIT


class _Inputs(NamedTuple):
    """What the kernel reads."""

    rows: ContactRows
    axes: jax.Array  # [V, 6, B]: motion of a point at the origin
    mass: jax.Array  # [V, V, B]
    force: jax.Array  # [V, B]: all but the constraints'
    joints: JointConstraints
    qvel: jax.Array  # [V, B]
    warmstart: jax.Array  # [V, B]


class _Scratch(NamedTuple):
    """References to the kernel's memory."""

    jacobian: Any  # [V, 4, K, B]
    bend: Any  # [4, 4, K, B]
    system: Any  # [V, W, B]: a matrix, the right side behind it, then padding
    vector: Any  # [W, B]


def moved_bodies(moves: np.ndarray) -> np.ndarray:
    """Return the first and the last body [2, V] that each degree of freedom moves.

    Args:
      moves: bool [C, V].

    Raises:
      ValueError: they are not consecutive.
    """
    first = moves.argmax(axis=0)
    last = len(moves) - 1 - moves[::-1].argmax(axis=0)
    for dof in np.flatnonzero(moves.sum(axis=0) != last - first + 1):
        rows = np.flatnonzero(moves[:, dof]).tolist()
        if rows:
            raise ValueError(f"Degree of freedom {dof} moves bodies {rows}: no range.")
        first[dof], last[dof] = 1, 0
    return np.stack([first, last]).astype(np.int32)


def solve(
    inputs: SolverInputs,
    moved: np.ndarray,
    *,
    iterations: int,
    interpret: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Return the constrained acceleration and the constraints' force, both [V, B].

    Args:
      inputs: of all environments.
      moved: int32 [2, V], see `moved_bodies`.
      iterations: Newton steps.
      interpret: run on another device than a TPU, slowly.
    """
    size, batch = inputs.force.shape
    contacts = inputs.rows.push.shape[0]
    lanes = min(batch, LANE_COUNT)
    width = -(-(size + 1) // 8) * 8
    leaves, tree = jax.tree.flatten(_arranged(inputs))

    def kernel(moved_ref: Any, *refs: Any) -> None:
        count = len(leaves)
        values = jax.tree.unflatten(tree, refs[:count])
        scratch = _Scratch(*refs[count + 2 :])
        acceleration, force = _solve_block(moved_ref, values, scratch, iterations)
        refs[count][...], refs[count + 1][...] = acceleration, force

    def block(shape: tuple[int, ...]) -> pl.BlockSpec:
        front = (0,) * (len(shape) - 1)
        return pl.BlockSpec((*shape[:-1], lanes), lambda i, _: (*front, i))

    shapes = [
        (size, 4, contacts, lanes),
        (4, 4, contacts, lanes),
        (size, width, lanes),
        (width, lanes),
    ]
    result = jax.ShapeDtypeStruct((size, batch), jnp.float32)
    run = pl.pallas_call(
        kernel,
        out_shape=(result, result),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(pl.cdiv(batch, lanes),),
            in_specs=[block(leaf.shape) for leaf in leaves],
            out_specs=[block(result.shape)] * 2,
            scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in shapes],
        ),
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=MEMORY_LIMIT),
        interpret=interpret,
    )
    return run(jnp.asarray(moved), *leaves)


def _arranged(inputs: SolverInputs) -> _Inputs:
    """The inputs with axes [V, 6, B] and all of the mass matrix [V, V, B]."""
    axes = jnp.concatenate([inputs.motion.angular, inputs.motion.linear])
    tree, _, batch = inputs.tree_mass.shape
    width, _, slots, _ = inputs.free_mass.shape
    same_slot = jnp.eye(slots)[:, None, :, None, None]
    blocks = inputs.free_mass.transpose(2, 0, 1, 3)[:, :, None] * same_slot
    blocks = blocks.reshape(slots * width, slots * width, batch)
    above = jnp.pad(inputs.tree_mass, ((0, 0), (0, len(blocks)), (0, 0)))
    below = jnp.pad(blocks, ((0, 0), (tree, 0), (0, 0)))
    return _Inputs(
        inputs.rows,
        axes.swapaxes(0, 1),
        jnp.concatenate([above, below]),
        inputs.force,
        inputs.joints,
        inputs.qvel,
        inputs.warmstart,
    )


def _solve_block(
    moved: Any, inputs: _Inputs, scratch: _Scratch, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """The solution of a program's environments, from references."""
    _fill_jacobian(moved, inputs, scratch)
    products = solver.Products(
        mass=functools.partial(_mass_mul, inputs, scratch),
        motion=functools.partial(_motion, scratch),
        force=functools.partial(_force, scratch),
        solve=functools.partial(_newton_direction, inputs, scratch),
    )
    parts = (ref[...] for ref in inputs.rows[2:])
    contacts = friction_contacts(products.motion(inputs.qvel[...]), *parts)
    joints = jax.tree.map(lambda ref: ref[...], inputs.joints)
    force = inputs.force[...]

    # The unconstrained acceleration.
    _fill_system(inputs, scratch, jnp.zeros_like(force), force)
    _eliminate(scratch)
    smooth = scratch.vector[: len(force)]
    problem = solver.Problem(products, force, contacts, joints)
    return solver.solve(problem, inputs.warmstart[...], smooth, iterations=iterations)


def _fill_jacobian(moved: Any, inputs: _Inputs, scratch: _Scratch) -> None:
    wrenches = inputs.rows.wrenches
    bodies = inputs.rows.bodies[...]

    def fill(dof: int, _: int) -> int:
        inside = (bodies >= moved[0, dof]) & (bodies <= moved[1, dof])
        sides = jnp.where(inside, 1.0, 0.0)
        sign, axis = sides[1] - sides[0], inputs.axes[dof]
        for row in range(4):
            terms = [wrenches[k, row] * axis[k : k + 1] for k in range(6)]
            scratch.jacobian[dof, row] = sign * sum(terms[1:], terms[0])
        return 0

    jax.lax.fori_loop(0, len(scratch.jacobian), fill, 0)


def _mass_mul(inputs: _Inputs, scratch: _Scratch, vector: jax.Array) -> jax.Array:
    size = len(vector)
    scratch.vector[:size] = vector
    return jax.lax.fori_loop(
        0,
        size,
        lambda dof, total: total + inputs.mass[dof] * scratch.vector[pl.ds(dof, 1)],
        jnp.zeros_like(vector),
    )


def _motion(scratch: _Scratch, velocity: jax.Array) -> jax.Array:
    """J v [4, K, B] of v [V, B]."""
    size = len(velocity)
    scratch.vector[:size] = velocity
    return jax.lax.fori_loop(
        0,
        size,
        lambda dof, total: total
        + scratch.jacobian[dof] * scratch.vector[pl.ds(dof, 1)],
        jnp.zeros_like(scratch.jacobian[0]),
    )


def _force(scratch: _Scratch, force: jax.Array) -> jax.Array:
    """J' f [V, B] of f [4, K, B]."""
    size = len(scratch.jacobian)

    def fill(dof: int, _: int) -> int:
        scratch.vector[pl.ds(dof, 1)] = _total(scratch.jacobian[dof] * force)
        return 0

    jax.lax.fori_loop(0, size, fill, 0)
    return scratch.vector[:size]


def _newton_direction(
    inputs: _Inputs,
    scratch: _Scratch,
    bend: jax.Array,
    diagonal: jax.Array,
    side: jax.Array,
) -> jax.Array:
    """x [V, B] of (M + diag d + J' W J) x = b."""
    _fill_system(inputs, scratch, diagonal, side)
    scratch.bend[...] = bend

    def fill_column(column: int, _: int) -> int:
        weighted = scratch.bend[:, 0] * scratch.jacobian[column, 0]
        for row in range(1, 4):
            weighted += scratch.bend[:, row] * scratch.jacobian[column, row]

        def fill(row: int, _: int) -> int:  # the upper triangle
            place = pl.ds(column, 1)
            scratch.system[row, place] += _total(scratch.jacobian[row] * weighted)
            return 0

        return jax.lax.fori_loop(0, column + 1, fill, 0)

    jax.lax.fori_loop(0, len(side), fill_column, 0)
    _eliminate(scratch)
    return scratch.vector[: len(side)]


def _fill_system(
    inputs: _Inputs, scratch: _Scratch, diagonal: jax.Array, side: jax.Array
) -> None:
    """The system of (M + diag d) x = b."""
    size = len(side)
    scratch.vector[...] = jnp.zeros_like(scratch.vector)
    scratch.vector[:size] = diagonal

    def fill(row: int, _: int) -> int:
        scratch.system[row] = jnp.zeros_like(scratch.vector)
        scratch.system[row, :size] = inputs.mass[row]
        scratch.system[row, pl.ds(row, 1)] += scratch.vector[pl.ds(row, 1)]
        return 0

    jax.lax.fori_loop(0, size, fill, 0)
    scratch.vector[:size] = side

    def fill_side(row: int, _: int) -> int:
        scratch.system[row, size : size + 1] = scratch.vector[pl.ds(row, 1)]
        return 0

    jax.lax.fori_loop(0, size, fill_side, 0)


def _eliminate(scratch: _Scratch) -> None:
    """Solve the system, whose upper triangle counts, into `scratch.vector`."""
    system, vector = scratch.system, scratch.vector
    size = len(system)

    def pivot(column: int, _: int) -> int:
        row, inverse = system[column], 1.0 / system[column, pl.ds(column, 1)]

        def below(place: int, _: int) -> int:
            factor = system[column, pl.ds(place, 1)] * inverse
            system[place] = system[place] - factor * row
            return 0

        return jax.lax.fori_loop(column + 1, size, below, 0)

    jax.lax.fori_loop(0, size, pivot, 0)

    # Backwards: the unknowns so far, minus one for the right side, and zeros.
    vector[...] = jnp.zeros_like(vector)
    vector[size : size + 1] = jnp.full_like(vector[:1], -1.0)

    def back(step: int, _: int) -> int:
        place = size - 1 - step
        rest = jnp.sum(system[place] * vector[...], axis=0, keepdims=True)
        vector[pl.ds(place, 1)] = -rest / system[place, pl.ds(place, 1)]
        return 0

    jax.lax.fori_loop(0, size, back, 0)


def _total(rows: jax.Array) -> jax.Array:
    """[1, B] of [4, K, B]."""
    return jnp.sum(jnp.sum(rows, axis=0), axis=0, keepdims=True)
