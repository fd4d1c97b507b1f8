"""Newton's method for the accelerations of a batch under soft constraints.

Minimises MuJoCo's primal cost: half the squared distance from the unconstrained
acceleration in the metric of the mass matrix, plus the costs of all constraint rows.
Axes: B environments, K contacts, V degrees of freedom, 4 rows a contact.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.contact import costs
from omnivla_jax.sim.contact.costs import TINY
from omnivla_jax.sim.contact.rows import Cones, Joints

# Slopes evaluated in one line search; on recorded LIBERO episodes more change nothing.
LINE_SEARCH = 10
CONVERGED = 1e-5  # of the slope at the start of a line search


class Problem(NamedTuple):
    """What is minimised."""

    mass: jax.Array  # [B, V, V]
    force: jax.Array  # [B, V]: all but the constraints'
    cones: Cones
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
    both = jnp.stack([warm, smooth], axis=-1)
    residual = jnp.einsum("brkv,bvs->sbrk", problem.cones.jacobian, both)
    residual = residual - problem.cones.reference
    inertial = jnp.einsum("bvw,bw->bv", problem.mass, warm)
    first = _Point(warm, inertial, residual[0])
    second = _Point(smooth, problem.force, residual[1])
    better = _cost(problem, first, smooth) < _cost(problem, second, smooth)
    return jax.tree.map(lambda x, y: jnp.where(_like(better, x), x, y), first, second)


def _like(values: jax.Array, other: jax.Array) -> jax.Array:
    """`values` [B] with as many axes as `other` [B, ...]."""
    return values.reshape((-1,) + (1,) * (other.ndim - 1))


def _cost(problem: Problem, point: _Point, smooth: jax.Array) -> jax.Array:
    """Twice the cost [B] of a point."""
    contact = costs.contact_cost(problem.cones, point.residual)
    gauss = (point.inertial - problem.force) * (point.acceleration - smooth)
    single = gauss + costs.joint_cost(problem.joints, point.acceleration)
    return jnp.sum(contact, axis=-1) + jnp.sum(single, axis=-1)


def _constraint_force(problem: Problem, point: _Point) -> jax.Array:
    force = costs.contact_force(problem.cones, point.residual)
    slope, _ = costs.joint_slopes(problem.joints, point.acceleration)
    return jnp.einsum("bvrk,brk->bv", problem.cones.transposed, force) - slope


def _derivatives(problem: Problem, point: _Point) -> tuple[jax.Array, jax.Array]:
    """Gradient [B, V] and Hessian [B, V, V] of the cost."""
    cones = problem.cones
    gradient = point.inertial - problem.force - _constraint_force(problem, point)
    block = costs.contact_hessian(cones, point.residual)
    # V varies fastest, so that XLA computes a block once and not for each of them.
    weighted = sum(
        block[:, :, j, :, None] * cones.jacobian[:, j, None] for j in range(4)
    )
    hessian = jnp.einsum("bvrk,brkw->bvw", cones.transposed, weighted)
    _, curvature = costs.joint_slopes(problem.joints, point.acceleration)
    diagonal = curvature[:, :, None] * jnp.eye(curvature.shape[-1])
    return gradient, problem.mass + hessian + diagonal


def _line_search(problem: Problem, point: _Point, search: jax.Array) -> _Point:
    """The cost's minimum along `search`: Newton's method kept inside a bracket."""
    line = _Point(
        search,
        jnp.einsum("bvw,bw->bv", problem.mass, search),
        jnp.einsum("brkv,bv->brk", problem.cones.jacobian, search),
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
    return jax.tree.map(lambda x, change: x + _like(step, x) * change, point, line)


def _slopes(
    problem: Problem, point: _Point, line: _Point, step: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [B] of the cost by the step length [B]."""
    moved = jax.tree.map(lambda x, change: x + _like(step, x) * change, point, line)
    slope, bend = costs.contact_slopes(problem.cones, moved.residual, line.residual)
    joint_slope, joint_bend = costs.joint_slopes(problem.joints, moved.acceleration)
    single = (moved.inertial - problem.force + joint_slope) * line.acceleration
    double = (line.inertial + joint_bend * line.acceleration) * line.acceleration
    return slope.sum(-1) + single.sum(-1), bend.sum(-1) + double.sum(-1)
