"""Newton's method for the accelerations of a batch under soft constraints.

Minimises MuJoCo's primal cost: half the squared distance from the unconstrained
acceleration in the metric of the mass matrix, plus the costs of all constraint rows.
Axes: B environments, K contacts, V degrees of freedom, 4 rows a contact.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact import cost
from omnivla_jax.sim.engines.mjx.contact.constraint import (
    FrictionContacts,
    JointConstraints,
)
from omnivla_jax.sim.engines.mjx.contact.cost import TINY
from omnivla_jax.sim.engines.mjx.contact.jacobian import jac_gram, jac_mul, jac_t_mul
from omnivla_jax.sim.state import choose

# Slopes evaluated in one line search; on recorded LIBERO episodes more change nothing.
LINE_SEARCH_STEPS = 10
CONVERGED = 1e-5  # of the slope at the start of a line search


class Problem(NamedTuple):
    """The cost that is minimised."""

    mass: jax.Array  # [B, V, V]
    force: jax.Array  # [B, V]: all but the constraints'
    contacts: FrictionContacts
    joints: JointConstraints


class _Point(NamedTuple):
    """An acceleration, or a change of one, and what follows linearly from it."""

    acceleration: jax.Array  # [B, V]
    inertial: jax.Array  # [B, V]: mass times acceleration
    residual: jax.Array  # [B, 4, K]: of the contacts


class _Bracket(NamedTuple):
    """A step length between two others: downhill at `low`, uphill at `high`."""

    low: jax.Array  # [B]
    step: jax.Array  # [B]
    high: jax.Array  # [B]


def solve(
    problem: Problem, warmstart: jax.Array, smooth: jax.Array, *, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """Return the constrained acceleration and the constraints' force, both [B, V].

    Args:
      problem: the cost.
      warmstart: [B, V], the last solution.
      smooth: [B, V], the unconstrained acceleration; the search starts at the better
        of the two.
      iterations: Newton steps.

    Returns:
      Acceleration in m/s2 or rad/s2 and force in N or N m after the Newton steps.
    """
    chex.assert_equal_shape([problem.force, warmstart, smooth])

    def newton_step(iteration: int, point: _Point) -> _Point:
        del iteration
        # Gradient [B, V] and Hessian [B, V, V] of the cost.
        gradient = point.inertial - problem.force - _constraint_force(problem, point)
        _, curvature = cost.joint_slopes(problem.joints, point.acceleration)
        bend = cost.contact_hessian(problem.contacts, point.residual)
        diagonal = curvature[:, :, None] * jnp.eye(curvature.shape[1])
        hessian = problem.mass + diagonal + jac_gram(problem.contacts.jacobian, bend)
        factor = jax.scipy.linalg.cho_factor(hessian)
        search = -jax.scipy.linalg.cho_solve(factor, gradient[..., None])[..., 0]
        return _line_search(problem, point, search)

    start = _best_start(problem, warmstart, smooth)
    point = jax.lax.fori_loop(0, iterations, newton_step, start)
    return point.acceleration, _constraint_force(problem, point)


def _best_start(problem: Problem, warmstart: jax.Array, smooth: jax.Array) -> _Point:
    """The better of both accelerations, environment by environment."""
    inertial = jnp.einsum("bvw,bw->bv", problem.mass, warmstart)
    first = _point(problem, warmstart, inertial)
    second = _point(problem, smooth, problem.force)
    better = _cost(problem, first, smooth) < _cost(problem, second, smooth)
    return choose(better, first, second)


def _point(problem: Problem, acceleration: jax.Array, inertial: jax.Array) -> _Point:
    motion = jac_mul(problem.contacts.jacobian, acceleration)
    return _Point(acceleration, inertial, motion - problem.contacts.reference)


def _cost(problem: Problem, point: _Point, smooth: jax.Array) -> jax.Array:
    """Twice the cost [B] of a point."""
    total = (point.inertial - problem.force) * (point.acceleration - smooth)
    total += cost.joint_cost(problem.joints, point.acceleration)
    contacts = cost.contact_cost(problem.contacts, point.residual)
    return total.sum(axis=-1) + contacts.sum(axis=-1)


def _constraint_force(problem: Problem, point: _Point) -> jax.Array:
    slope, _ = cost.joint_slopes(problem.joints, point.acceleration)
    force = cost.contact_force(problem.contacts, point.residual)
    return jac_t_mul(problem.contacts.jacobian, force) - slope


def _line_search(problem: Problem, point: _Point, search: jax.Array) -> _Point:
    """The cost's minimum along `search`: Newton's method kept inside a bracket."""
    line = _Point(
        search,
        jnp.einsum("bvw,bw->bv", problem.mass, search),
        jac_mul(problem.contacts.jacobian, search),
    )
    zero = jnp.zeros_like(search[:, 0])
    first, second = _slopes(problem, point, line, zero)

    def narrow(_: int, bracket: _Bracket) -> _Bracket:
        slope, curvature = _slopes(problem, point, line, bracket.step)
        low = jnp.where(slope < 0, bracket.step, bracket.low)
        high = jnp.where(slope < 0, bracket.high, bracket.step)
        newton = bracket.step - slope / jnp.maximum(curvature, TINY)
        middle = jnp.where(jnp.isinf(high), 2 * low, 0.5 * (low + high))
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
    """`point` after a step of length `step` [B] along `line`."""
    return jax.tree.map(
        lambda value, change: value
        + step.reshape((-1,) + (1,) * (value.ndim - 1)) * change,
        point,
        line,
    )


def _slopes(
    problem: Problem, point: _Point, line: _Point, step: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [B] of the cost by the step length [B]."""
    end = _advance(point, line, step)
    joint_slope, joint_bend = cost.joint_slopes(problem.joints, end.acceleration)
    single = (end.inertial - problem.force + joint_slope) * line.acceleration
    double = (line.inertial + joint_bend * line.acceleration) * line.acceleration
    slope, bend = cost.contact_slopes(problem.contacts, end.residual, line.residual)
    return (
        single.sum(axis=-1) + slope.sum(axis=-1),
        double.sum(axis=-1) + bend.sum(axis=-1),
    )
