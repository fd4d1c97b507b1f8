"""Newton's method for the accelerations of a batch under soft constraints.

Minimises MuJoCo's primal cost: half the squared distance from the unconstrained
acceleration in the metric of the mass matrix, plus the costs of all constraint rows.
Contacts may come in sets: one set sees all degrees of freedom, another those of one of
the bodies that come last, which makes its share of the Hessian a small block.
Axes: B environments, K contacts, V degrees of freedom, 4 rows a contact; S parts of an
environment, of v degrees of freedom each, that a set sees (1 of V, or S of 6).
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
    cones: tuple[Cones, ...]  # [B * S, ...]: sets that see the last S * v of V
    joints: Joints


class _Point(NamedTuple):
    """An acceleration, or a change of one, and what follows linearly from it."""

    acceleration: jax.Array  # [B, V]
    inertial: jax.Array  # [B, V]: mass times acceleration
    residuals: tuple[jax.Array, ...]  # [B * S, 4, K]: of each set of contacts


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


def block_diagonal(blocks: jax.Array, size: int) -> jax.Array:
    """[B, V, V], V = `size`, of blocks [B, S, v, v] that end where it ends."""
    batch, parts, width, _ = blocks.shape
    apart = blocks[:, :, :, None] * jnp.eye(parts)[:, None, :, None]
    front = size - parts * width
    square = apart.reshape(batch, parts * width, parts * width)
    return jnp.pad(square, ((0, 0), (front, 0), (front, 0)))


def _start(problem: Problem, warm: jax.Array, smooth: jax.Array) -> _Point:
    first = _point(problem, warm, jnp.einsum("bvw,bw->bv", problem.mass, warm))
    second = _point(problem, smooth, problem.force)
    better = _cost(problem, first, smooth) < _cost(problem, second, smooth)

    def choose(one: jax.Array, other: jax.Array) -> jax.Array:
        parts = len(one) // len(better)  # of an environment
        return jnp.where(_like(better.repeat(parts), one), one, other)

    return jax.tree.map(choose, first, second)


def _point(problem: Problem, acceleration: jax.Array, inertial: jax.Array) -> _Point:
    moved = (_along(cones, acceleration) for cones in problem.cones)
    residuals = (row - cones.reference for row, cones in zip(moved, problem.cones))
    return _Point(acceleration, inertial, tuple(residuals))


def _along(cones: Cones, acceleration: jax.Array) -> jax.Array:
    """[B * S, 4, K]: how contacts accelerate where all degrees of freedom do."""
    seen, width = len(cones.jacobian), cones.jacobian.shape[-1]
    count = seen // len(acceleration) * width
    own = acceleration[:, acceleration.shape[1] - count :].reshape(seen, width)
    return jnp.einsum("brkv,bv->brk", cones.jacobian, own)


def _like(values: jax.Array, other: jax.Array) -> jax.Array:
    """`values` [B] with as many axes as `other` [B, ...]."""
    return values.reshape((-1,) + (1,) * (other.ndim - 1))


def _cost(problem: Problem, point: _Point, smooth: jax.Array) -> jax.Array:
    """Twice the cost [B] of a point."""
    total = (point.inertial - problem.force) * (point.acceleration - smooth)
    total = _total(total + costs.joint_cost(problem.joints, point.acceleration), smooth)
    for cones, residual in zip(problem.cones, point.residuals):
        total += _total(costs.contact_cost(cones, residual), smooth)
    return total


def _total(values: jax.Array, like: jax.Array) -> jax.Array:
    """Sums [B] of `values` [B * S, ...]; `like` is [B, ...]."""
    return values.reshape(len(like), -1).sum(axis=-1)


def _constraint_force(problem: Problem, point: _Point) -> jax.Array:
    slope, _ = costs.joint_slopes(problem.joints, point.acceleration)
    total = -slope
    for cones, residual in zip(problem.cones, point.residuals):
        force = costs.contact_force(cones, residual)
        own = jnp.einsum("bvrk,brk->bv", cones.transposed, force)
        own = own.reshape(len(total), -1)
        total += jnp.pad(own, ((0, 0), (total.shape[1] - own.shape[1], 0)))
    return total


def _derivatives(problem: Problem, point: _Point) -> tuple[jax.Array, jax.Array]:
    """Gradient [B, V] and Hessian [B, V, V] of the cost."""
    gradient = point.inertial - problem.force - _constraint_force(problem, point)
    _, curvature = costs.joint_slopes(problem.joints, point.acceleration)
    batch, size = curvature.shape
    hessian = problem.mass + curvature[:, :, None] * jnp.eye(size)
    for cones, residual in zip(problem.cones, point.residuals):
        own = _contact_hessian(cones, residual)
        hessian += block_diagonal(own.reshape(batch, -1, *own.shape[1:]), size)
    return gradient, hessian


def _contact_hessian(cones: Cones, residual: jax.Array) -> jax.Array:
    """[B * S, v, v]."""
    block = costs.contact_hessian(cones, residual)
    # V varies fastest, so that XLA computes a block once and not for each of them.
    weighted = sum(
        block[:, :, j, :, None] * cones.jacobian[:, j, None] for j in range(4)
    )
    return jnp.einsum("bvrk,brkw->bvw", cones.transposed, weighted)


def _line_search(problem: Problem, point: _Point, search: jax.Array) -> _Point:
    """The cost's minimum along `search`: Newton's method kept inside a bracket."""
    line = _Point(
        search,
        jnp.einsum("bvw,bw->bv", problem.mass, search),
        tuple(_along(cones, search) for cones in problem.cones),
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

    def move(value: jax.Array, change: jax.Array) -> jax.Array:
        parts = len(value) // len(step)  # of an environment
        return value + _like(step.repeat(parts), value) * change

    return jax.tree.map(move, point, line)


def _slopes(
    problem: Problem, point: _Point, line: _Point, step: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [B] of the cost by the step length [B]."""
    moved = _moved(point, line, step)
    joint_slope, joint_bend = costs.joint_slopes(problem.joints, moved.acceleration)
    single = (moved.inertial - problem.force + joint_slope) * line.acceleration
    double = (line.inertial + joint_bend * line.acceleration) * line.acceleration
    slope, curvature = single.sum(axis=-1), double.sum(axis=-1)
    for cones, *rows in zip(problem.cones, moved.residuals, line.residuals):
        of_contacts, their_bend = costs.contact_slopes(cones, *rows)
        slope += _total(of_contacts, step)
        curvature += _total(their_bend, step)
    return slope, curvature
