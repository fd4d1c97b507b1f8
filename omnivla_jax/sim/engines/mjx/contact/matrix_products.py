"""The solver by XLA's batched matrix products, as CPUs and GPUs want them.

Axes: as in `solver`; matrices lead with the batch.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.engines.mjx import linear_solve
from omnivla_jax.sim.engines.mjx.contact import constraint, solver
from omnivla_jax.sim.engines.mjx.contact.jacobian import (
    Jacobian,
    block_diagonal,
    contact_jacobian,
    jac_gram,
    jac_mul,
    jac_t_mul,
)
from omnivla_jax.sim.engines.mjx.contact.solver import Products, SolverInputs


def solve(
    inputs: SolverInputs, moves: np.ndarray, *, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """Return the constrained acceleration and the constraints' force, both [V, B].

    Args:
      inputs: of all environments.
      moves: bool [C, V], which degrees of freedom move which body.
      iterations: Newton steps.
    """
    size, tree = len(inputs.force), len(inputs.tree_mass)
    slots = inputs.free_mass.shape[2]
    mass = jnp.moveaxis(inputs.tree_mass, -1, 0)
    mass = jnp.pad(mass, ((0, 0), (0, size - tree), (0, size - tree)))
    mass += block_diagonal(inputs.free_mass.transpose(3, 2, 0, 1), size)
    jacobian = contact_jacobian(inputs.rows, inputs.motion, moves, slots)
    velocity = jac_mul(jacobian, inputs.qvel)
    problem = solver.Problem(
        matrix_products(mass, jacobian),
        inputs.force,
        constraint.friction_contacts(velocity, *inputs.rows[2:]),
        inputs.joints,
    )
    smooth = linear_solve.solve(inputs.tree_mass, inputs.force[:tree])
    smooth = jnp.concatenate([smooth, inputs.free_acceleration])
    return solver.solve(problem, inputs.warmstart, smooth, iterations=iterations)


def matrix_products(mass: jax.Array, jacobian: Jacobian) -> Products:
    """Return the products of `mass` [B, V, V] and `jacobian`."""

    def solve_newton(
        bend: jax.Array, diagonal: jax.Array, side: jax.Array
    ) -> jax.Array:
        spread = diagonal.T[:, :, None] * jnp.eye(len(diagonal))
        hessian = mass + spread + jac_gram(jacobian, bend)
        factor = jax.scipy.linalg.cho_factor(hessian)
        return jax.scipy.linalg.cho_solve(factor, side.T[..., None])[..., 0].T

    return Products(
        mass=lambda vector: jnp.einsum("bvw,bw->bv", mass, vector.T).T,
        motion=lambda velocity: jac_mul(jacobian, velocity),
        force=lambda force: jac_t_mul(jacobian, force),
        solve=solve_newton,
    )
