"""Newton's method for the accelerations of a batch under soft constraints.

Minimises MuJoCo's primal cost: half the squared distance from the unconstrained
acceleration in the metric of the mass matrix, plus the costs of all constraint rows.
Axes: B environments, K contacts, V degrees of freedom, 4 rows a contact.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.engines.mjx.contact import cost
from omnivla_jax.sim.engines.mjx.contact.constraint import FrictionContacts, Joints
from omnivla_jax.sim.engines.mjx.contact.cost import TINY
from omnivla_jax.sim.engines.mjx.contact.jacobian import along, back, gram

# Slopes evaluated in one line search; on recorded LIBERO episodes more change nothing.
LINE_SEARCH = 10
CONVERGED = 1e-5  # of the slope at the start of a line search


class Problem(NamedTuple):
    """What is minimised."""

    mass: jax.Array  # [B, V, V]
    force: jax.Array  # [B, V]: all but the constraints'
    cones: FrictionContacts
    joints: Joints


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
    problem: Problem, warm: jax.Array, smooth: jax.Array, *, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """The constrained acceleration and the constraints' force, both [B, V].

    Args:
      problem: what is minimised.
      warm: [B, V], the last solution.
      smooth: [B, V], the unconstrained one; the better of the two is where it starts.
      iterations: Newton steps.
    """

    def improve(_: int, point: _Point) -> _Point:
        gradient, hessian = _derivatives(problem, point)
        factor = jax.scipy.linalg.cho_factor(hessian)
        search = -jax.scipy.linalg.cho_solve(factor, gradient[..., None])[..., 0]
        return _line_search(problem, point, search)

    point = jax.lax.fori_loop(0, iterations, improve, _start(problem, warm, smooth))
    return point.acceleration, _constraint_force(problem, point)


def _start(problem: Problem, warm: jax.Array, smooth: jax.Array) -> _Point:
    first = _point(problem, warm, jnp.einsum("bvw,bw->bv", problem.mass, warm))
    second = _point(problem, smooth, problem.force)
    better = _cost(problem, first, smooth) < _cost(problem, second, smooth)
    return jax.tree.map(
        lambda one, other: jnp.where(_like(better, one), one, other), first, second
    )


def _point(problem: Problem, acceleration: jax.Array, inertial: jax.Array) -> _Point:
    moved = along(problem.cones.jacobian, acceleration)
    return _Point(acceleration, inertial, moved - problem.cones.reference)


def _like(values: jax.Array, other: jax.Array) -> jax.Array:
    """`values` [B] with as many axes as `other` [B, ...]."""
    return values.reshape((-1,) + (1,) * (other.ndim - 1))


def _cost(problem: Problem, point: _Point, smooth: jax.Array) -> jax.Array:
    """Twice the cost [B] of a point."""
    total = (point.inertial - problem.force) * (point.acceleration - smooth)
    total += cost.joint_cost(problem.joints, point.acceleration)
    contacts = cost.contact_cost(problem.cones, point.residual)
    return total.sum(axis=-1) + contacts.sum(axis=-1)


def _constraint_force(problem: Problem, point: _Point) -> jax.Array:
    slope, _ = cost.joint_slopes(problem.joints, point.acceleration)
    force = cost.contact_force(problem.cones, point.residual)
    return back(problem.cones.jacobian, force) - slope


def _derivatives(problem: Problem, point: _Point) -> tuple[jax.Array, jax.Array]:
    """Gradient [B, V] and Hessian [B, V, V] of the cost."""
    gradient = point.inertial - problem.force - _constraint_force(problem, point)
    _, curvature = cost.joint_slopes(problem.joints, point.acceleration)
    bend = cost.contact_hessian(problem.cones, point.residual)
    diagonal = curvature[:, :, None] * jnp.eye(curvature.shape[1])
    return gradient, problem.mass + diagonal + gram(problem.cones.jacobian, bend)


def _line_search(problem: Problem, point: _Point, search: jax.Array) -> _Point:
    """The cost's minimum along `search`: Newton's method kept inside a bracket."""
    line = _Point(
        search,
        jnp.einsum("bvw,bw->bv", problem.mass, search),
        along(problem.cones.jacobian, search),
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
    step = jax.lax.fori_loop(0, LINE_SEARCH, narrow, bracket).step
    step = jnp.where(first < 0, step, 0.0)  # rounding: already at the minimum
    return _moved(point, line, step)


def _moved(point: _Point, line: _Point, step: jax.Array) -> _Point:
    """`point` after a step of length `step` [B] along `line`."""
    return jax.tree.map(
        lambda value, change: value + _like(step, value) * change, point, line
    )


def _slopes(
    problem: Problem, point: _Point, line: _Point, step: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [B] of the cost by the step length [B]."""
    moved = _moved(point, line, step)
    joint_slope, joint_bend = cost.joint_slopes(problem.joints, moved.acceleration)
    single = (moved.inertial - problem.force + joint_slope) * line.acceleration
    double = (line.inertial + joint_bend * line.acceleration) * line.acceleration
    slope, bend = cost.contact_slopes(problem.cones, moved.residual, line.residual)
    return (
        single.sum(axis=-1) + slope.sum(axis=-1),
        double.sum(axis=-1) + bend.sum(axis=-1),
    )
