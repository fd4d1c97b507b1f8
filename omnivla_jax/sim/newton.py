"""Newton's method for the accelerations of a batch under soft constraints.

Minimises MuJoCo's primal cost: half the squared distance from the unconstrained
acceleration in the metric of the mass matrix, plus the cost of every constraint row;
elliptic cones for contacts, one-sided springs for limits, Huber costs for friction.
Axes: B environments, K contacts, V degrees of freedom, 4 rows a contact.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.sim.constraints import Cones, Joints

TINY = 1e-15  # MuJoCo's mjMINVAL
CONVERGED = 1e-5  # of the slope at the start of a line search


class Problem(NamedTuple):
    """What is minimised."""

    mass: jax.Array  # [B, V, V]
    force: jax.Array  # [B, V]: all but the constraints'
    cones: Cones
    joints: Joints


class _Point(NamedTuple):
    """An acceleration and what follows linearly from it."""

    acceleration: jax.Array  # [B, V]
    inertial: jax.Array  # [B, V]: mass times acceleration
    residual: jax.Array  # [B, 4, K]: of the cones


class _Cone(NamedTuple):
    """A residual in the coordinates in which the friction cone is circular."""

    normal: jax.Array  # [B, K]
    tangent: jax.Array  # [B, 3, K]
    length: jax.Array  # [B, K] of the tangent
    sticks: jax.Array  # bool [B, K]: all rows act as springs
    slides: jax.Array  # bool [B, K]: the force lies on the cone


def solve(
    problem: Problem,
    warm: jax.Array,
    smooth: jax.Array,
    *,
    iterations: int,
    line_search: int,
) -> tuple[jax.Array, jax.Array]:
    """The constrained acceleration and the constraints' force, both [B, V].

    Args:
      problem: what is minimised.
      warm: [B, V], the last solution.
      smooth: [B, V], the unconstrained one; the better of the two is where it starts.
      iterations: Newton steps.
      line_search: evaluations of the slope in each.
    """

    def step(_: int, point: _Point) -> _Point:
        gradient, hessian = _derivatives(problem, point)
        factor = jax.scipy.linalg.cho_factor(hessian)
        search = -jax.scipy.linalg.cho_solve(factor, gradient[..., None])[..., 0]
        return _line_search(problem, point, search, line_search)

    point = jax.lax.fori_loop(0, iterations, step, _start(problem, warm, smooth))
    return point.acceleration, _constraint_force(problem, point)


def _start(problem: Problem, warm: jax.Array, smooth: jax.Array) -> _Point:
    both = jnp.stack([warm, smooth], axis=-1)  # [B, V, 2]
    residual = jnp.einsum("brkv,bvs->sbrk", problem.cones.jacobian, both)
    residual = residual - problem.cones.reference
    inertial = jnp.einsum("bvw,bw->bv", problem.mass, warm)
    points = (
        _Point(warm, inertial, residual[0]),
        _Point(smooth, problem.force, residual[1]),
    )
    better = _cost(problem, points[0], smooth) < _cost(problem, points[1], smooth)

    def choose(first: jax.Array, second: jax.Array) -> jax.Array:
        return jnp.where(better.reshape((-1,) + (1,) * (first.ndim - 1)), first, second)

    return jax.tree.map(choose, *points)


def _cone(cones: Cones, residual: jax.Array) -> _Cone:
    scaled = residual * cones.friction
    normal, tangent = scaled[:, 0], scaled[:, 1:]
    length = jnp.sqrt(jnp.sum(tangent * tangent, axis=1))
    regular = cones.friction[:, 0]
    reach = regular * normal + length
    sticks = jnp.where(length > 0, reach <= 0, normal < 0)
    slides = (length > 0) & (normal < regular * length) & (reach > 0)
    return _Cone(normal, tangent, length, sticks, slides)


def _sliding_weight(cones: Cones) -> jax.Array:
    """The weight [B, K] of a sliding contact's distance from its cone."""
    squared = cones.friction[:, 0] ** 2
    return cones.weight[:, 0] / jnp.maximum(squared * (1 + squared), TINY)


def _cost(problem: Problem, point: _Point, smooth: jax.Array) -> jax.Array:
    """The cost [B] of a point, up to a constant."""
    cones, joints, x = problem.cones, problem.joints, point.acceleration
    cone = _cone(cones, point.residual)
    spring = jnp.sum(cones.weight * point.residual**2, axis=1)
    off = cone.normal - cones.friction[:, 0] * cone.length
    contact = jnp.where(cone.sticks, spring, 0.0)
    contact = jnp.where(cone.slides, _sliding_weight(cones) * off**2, contact)
    limit = jnp.minimum(joints.side * x - joints.limit_reference, 0.0)
    rub = jnp.abs(x - joints.drag_reference)
    knee = joints.drag / jnp.maximum(joints.drag_weight, TINY)
    elastic = joints.drag_weight * jnp.minimum(rub, knee) ** 2
    friction = elastic + 2 * joints.drag * jnp.maximum(rub - knee, 0.0)
    gauss = (point.inertial - problem.force) * (x - smooth)
    single = gauss + joints.limit_weight * limit**2 + friction
    return 0.5 * (jnp.sum(contact, axis=-1) + jnp.sum(single, axis=-1))


def _joint_slopes(joints: Joints, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [B, V] of the limits' and frictions' costs."""
    limit = joints.side * x - joints.limit_reference
    active = joints.limit_weight * (limit < 0)
    pull = joints.drag_weight * (x - joints.drag_reference)
    elastic = joints.drag_weight * (jnp.abs(pull) < joints.drag)
    slope = active * limit * joints.side + jnp.clip(pull, -joints.drag, joints.drag)
    return slope, active + elastic


def _cone_forces(cones: Cones, cone: _Cone, residual: jax.Array) -> jax.Array:
    """The rows' forces [B, 4, K]."""
    regular = cones.friction[:, 0]
    off = cone.normal - regular * cone.length
    press = -_sliding_weight(cones) * off * regular
    rub = -(press / jnp.maximum(cone.length, TINY))[:, None] * cone.tangent
    sliding = jnp.concatenate([press[:, None], rub * cones.friction[:, 1:]], axis=1)
    sticking = -cones.weight * residual
    force = jnp.where(cone.slides[:, None], sliding, 0.0)
    return jnp.where(cone.sticks[:, None], sticking, force)


def _constraint_force(problem: Problem, point: _Point) -> jax.Array:
    cones = problem.cones
    cone = _cone(cones, point.residual)
    force = _cone_forces(cones, cone, point.residual)
    slope, _ = _joint_slopes(problem.joints, point.acceleration)
    return jnp.einsum("brkv,brk->bv", cones.jacobian, force) - slope


def _derivatives(problem: Problem, point: _Point) -> tuple[jax.Array, jax.Array]:
    """Gradient [B, V] and Hessian [B, V, V] of the cost."""
    cones = problem.cones
    cone = _cone(cones, point.residual)
    force = _cone_forces(cones, cone, point.residual)
    slope, curvature = _joint_slopes(problem.joints, point.acceleration)
    gradient = point.inertial - problem.force + slope
    gradient -= jnp.einsum("brkv,brk->bv", cones.jacobian, force)
    block = _cone_hessian(cones, cone)
    weighted = sum(
        block[:, :, j, :, None] * cones.jacobian[:, j, None] for j in range(4)
    )
    hessian = jnp.einsum("brkv,brkw->bvw", cones.jacobian, weighted)
    diagonal = curvature[:, :, None] * jnp.eye(curvature.shape[-1])
    return gradient, problem.mass + hessian + diagonal


def _cone_hessian(cones: Cones, cone: _Cone) -> jax.Array:
    """Second derivatives [B, 4, 4, K] of each contact's cost by its residual."""
    regular, length = cones.friction[:, 0], jnp.maximum(cone.length, TINY)
    unit = cone.tangent / length[:, None]
    ratio = regular * cone.normal / length
    eye = jnp.eye(3)[:, :, None]
    tangential = ratio[:, None, None] * (unit[:, :, None] * unit[:, None] - eye)
    tangential += (regular**2)[:, None, None] * eye
    mixed = -regular[:, None] * unit  # [B, 3, K]
    top = jnp.concatenate([jnp.ones_like(mixed[:, :1]), mixed], axis=1)
    rest = jnp.concatenate([mixed[:, :, None], tangential], axis=2)
    shape = jnp.concatenate([top[:, None], rest], axis=1)
    scale = cones.friction[:, :, None] * cones.friction[:, None]
    sliding = _sliding_weight(cones)[:, None, None] * scale * shape
    sticking = jnp.eye(4)[:, :, None] * cones.weight[:, :, None]
    block = jnp.where(cone.slides[:, None, None], sliding, 0.0)
    return jnp.where(cone.sticks[:, None, None], sticking, block)


class _Line(NamedTuple):
    """A search direction and what follows linearly from it."""

    search: jax.Array  # [B, V]
    inertial: jax.Array  # [B, V]
    residual: jax.Array  # [B, 4, K]


class _Bracket(NamedTuple):
    """A step length between two others: downhill at `low`, uphill at `high`."""

    low: jax.Array  # [B]
    step: jax.Array  # [B]
    high: jax.Array  # [B]


def _line_search(
    problem: Problem, point: _Point, search: jax.Array, evaluations: int
) -> _Point:
    """The cost's minimum along `search`: Newton's method kept inside a bracket."""
    line = _Line(
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
    step = jax.lax.fori_loop(0, evaluations, narrow, bracket).step
    step = jnp.where(first < 0, step, 0.0)  # rounding: already at the minimum

    def move(start: jax.Array, along: jax.Array) -> jax.Array:
        return start + step.reshape((-1,) + (1,) * (start.ndim - 1)) * along

    return _Point(*map(move, point, line))


def _slopes(
    problem: Problem, point: _Point, line: _Line, step: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """First and second derivative [B] of the cost by the step length [B]."""
    cones = problem.cones
    along = step[:, None]
    residual = point.residual + along[..., None] * line.residual
    cone = _cone(cones, residual)
    spring = cones.weight * line.residual
    stick = jnp.sum(spring * residual, axis=1), jnp.sum(spring * line.residual, axis=1)
    slide = _sliding_slopes(cones, cone, line.residual * cones.friction)
    contact = (
        jnp.where(cone.sticks, stuck, jnp.where(cone.slides, sliding, 0.0)).sum(-1)
        for stuck, sliding in zip(stick, slide)
    )
    slope, curvature = _joint_slopes(
        problem.joints, point.acceleration + along * line.search
    )
    inertial = point.inertial + along * line.inertial - problem.force
    single = (
        jnp.sum((inertial + slope) * line.search, axis=-1),
        jnp.sum((line.inertial + curvature * line.search) * line.search, axis=-1),
    )
    first, second = (a + b for a, b in zip(contact, single))
    return first, second


def _sliding_slopes(
    cones: Cones, cone: _Cone, scaled: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Derivatives [B, K] of sliding contacts' costs along `scaled` [B, 4, K]."""
    regular, weight = cones.friction[:, 0], _sliding_weight(cones)
    length = jnp.maximum(cone.length, TINY)
    rate = jnp.sum(cone.tangent * scaled[:, 1:], axis=1) / length
    bend = (jnp.sum(scaled[:, 1:] ** 2, axis=1) - rate**2) / length
    off = cone.normal - regular * cone.length
    closing = scaled[:, 0] - regular * rate
    return weight * off * closing, weight * (closing**2 - off * regular * bend)
