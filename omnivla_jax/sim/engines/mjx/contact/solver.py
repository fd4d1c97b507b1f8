"""Newton's method for the accelerations of a batch under soft constraints.

Minimises MuJoCo's primal cost: half the squared distance from the unconstrained
acceleration in the metric of the mass matrix, plus the costs of all constraint rows.
Axes: 4 rows a contact, K contacts, V degrees of freedom; B environments last.
"""

from typing import Callable, NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact import cost
from omnivla_jax.sim.engines.mjx.contact.constraint import (
    ContactRows,
    FrictionContacts,
    JointConstraints,
    MotionAxes,
)
from omnivla_jax.sim.engines.mjx.contact.cost import TINY

# Slopes evaluated in one line search; on recorded LIBERO episodes more change nothing.
LINE_SEARCH_STEPS = 10
CONVERGED = 1e-5  # of the slope at the start of a line search


class SolverInputs(NamedTuple):
    """What the constrained acceleration depends on."""

    rows: ContactRows
    motion: MotionAxes  # of the degrees of freedom, those of the S slots last
    tree_mass: jax.Array  # [nv, nv, B] of what is jointed
    free_mass: jax.Array  # [6, 6, S, B] of the slots' bodies
    free_acceleration: jax.Array  # [6 S, B]: the slots' without constraints
    force: jax.Array  # [V, B]: all but the constraints'
    joints: JointConstraints
    qvel: jax.Array  # [V, B]
    warmstart: jax.Array  # [V, B]: the last solution


class Products(NamedTuple):
    """Products with the mass matrix and the contacts' Jacobian."""

    mass: Callable[[jax.Array], jax.Array]  # [V, B] -> [V, B]
    motion: Callable[[jax.Array], jax.Array]  # J v: [V, B] -> [4, K, B]
    force: Callable[[jax.Array], jax.Array]  # J' f: [4, K, B] -> [V, B]
    # (W [4, 4, K, B], d [V, B], b [V, B]) -> x [V, B] of (M + diag d + J' W J) x = b
    solve: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Problem(NamedTuple):
    """The cost that is minimised."""

    products: Products
    force: jax.Array  # [V, B]: all but the constraints'
    contacts: FrictionContacts
    joints: JointConstraints


class _Point(NamedTuple):
    """An acceleration, or a change of one, and what follows linearly from it."""

    acceleration: jax.Array  # [V, B]
    inertial: jax.Array  # [V, B]: mass times acceleration
    residual: jax.Array  # [4, K, B]: of the contacts


class _Bracket(NamedTuple):
    """A step length between two others: downhill at `low`, uphill at `high`."""

    low: jax.Array  # [1, B]
    step: jax.Array  # [1, B]
    high: jax.Array  # [1, B]


def solve(
    problem: Problem, warmstart: jax.Array, smooth: jax.Array, *, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """Return the constrained acceleration and the constraints' force, both [V, B].

    Args:
      problem: the cost.
      warmstart: [V, B], the last solution.
      smooth: [V, B], the unconstrained acceleration; the search starts at the better
        of the two.
      iterations: Newton steps.

    Returns:
      Acceleration in m/s2 or rad/s2 and force in N or N m after the Newton steps.
    """
    chex.assert_equal_shape([problem.force, warmstart, smooth])

    def newton_step(iteration: int, point: _Point) -> _Point:
        del iteration
        gradient = point.inertial - problem.force - _constraint_force(problem, point)
        _, curvature = cost.joint_slopes(problem.joints, point.acceleration)
        bend = cost.contact_hessian(problem.contacts, point.residual)
        search = problem.products.solve(bend, curvature, -gradient)
        return _line_search(problem, point, search)

    start = _best_start(problem, warmstart, smooth)
    point = jax.lax.fori_loop(0, iterations, newton_step, start)
    return point.acceleration, _constraint_force(problem, point)


def _best_start(problem: Problem, warmstart: jax.Array, smooth: jax.Array) -> _Point:
    """The better of both accelerations, environment by environment."""
    first = _point(problem, warmstart, problem.products.mass(warmstart))
    second = _point(problem, smooth, problem.force)
    better = _cost(problem, first, smooth) < _cost(problem, second, smooth)
    return jax.tree.map(lambda a, b: jnp.where(better, a, b), first, second)


def _point(problem: Problem, acceleration: jax.Array, inertial: jax.Array) -> _Point:
    motion = problem.products.motion(acceleration)
    return _Point(acceleration, inertial, motion - problem.contacts.reference)


def _cost(problem: Problem, point: _Point, smooth: jax.Array) -> jax.Array:
    """Twice the cost [1, B] of a point."""
    total = (point.inertial - problem.force) * (point.acceleration - smooth)
    total += cost.joint_cost(problem.joints, point.acceleration)
    contacts = cost.contact_cost(problem.contacts, point.residual)
    return _sum(total) + _sum(contacts)


def _constraint_force(problem: Problem, point: _Point) -> jax.Array:
    slope, _ = cost.joint_slopes(problem.joints, point.acceleration)
    force = cost.contact_force(problem.contacts, point.residual)
    return problem.products.force(force) - slope


def _line_search(problem: Problem, point: _Point, search: jax.Array) -> _Point:
    """The cost's minimum along `search`: Newton's method kept inside a bracket."""
    products = problem.products
    line = _Point(search, products.mass(search), products.motion(search))
    zero = jnp.zeros_like(search[:1])
    first, second = _slopes(problem, point, line, zero)

    def narrow(_: int, bracket: _Bracket) -> _Bracket:
        slope, curvature = _slopes(problem, point, line, bracket.step)
        low = jnp.where(slope < 0, bracket.step, bracket.low)
        high = jnp.where(slope < 0, bracket.high, bracket.step)
        newton = bracket.step - slope / jnp.maximum(curvature, TINY)
        middle = jnp.where(high == jnp.inf, 2 * low, 0.5 * (low + high))
        inside = (newton >= low) & (newton <= high)
        done = jnp.abs(slope) <= CONVERGED * jnp.abs(first)
        step = jnp.where(done, bracket.step, jnp.where(inside, newton, middle))
        return _Bracket(low, step, high)

    start = -first / jnp.maximum(second, TINY)
    bracket = _Bracket(zero, start, jnp.full_like(zero, jnp.inf))
    step = jax.lax.fori_loop(0, LINE_SEARCH_STEPS, narrow, bracket).step
    step = jnp.where(first < 0, step, 0.0)  # rounding: already at the minimum
    return _advance(point, line, step)


def _advance(point: _Point, line: _Point, step: jax.Array) -> _Point:
    """`point` after a step of length `step` [1, B] along `line`."""
    return jax.tree.map(lambda value, change: value + step * change, point, line)


def _slopes(
    problem: Problem, point: _Point, line: _Point, step: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [1, B] of the cost by the step length [1, B]."""
    end = _advance(point, line, step)
    joint_slope, joint_bend = cost.joint_slopes(problem.joints, end.acceleration)
    single = (end.inertial - problem.force + joint_slope) * line.acceleration
    double = (line.inertial + joint_bend * line.acceleration) * line.acceleration
    slope, bend = cost.contact_slopes(problem.contacts, end.residual, line.residual)
    return _sum(single) + _sum(slope), _sum(double) + _sum(bend)


def _sum(rows: jax.Array) -> jax.Array:
    """[1, B] of [n, B]."""
    return jnp.sum(rows, axis=0, keepdims=True)
