"""The two casts of the project: to the compute dtype and back to float32.

Parameters are float32. Activations are bfloat16 on accelerators and float32 on a CPU,
which has no fast bfloat16. Norms, softmax, flow time, log-probabilities, ratios,
advantages and physics stay float32.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree


def compute_dtype() -> jnp.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


def to_compute(tree: PyTree) -> PyTree:
    """Cast every floating leaf to the compute dtype."""
    return _cast(tree, compute_dtype())


def to_float32(tree: PyTree) -> PyTree:
    """Cast every floating leaf to float32."""
    return _cast(tree, jnp.dtype(jnp.float32))


def _cast(tree: PyTree, dtype: jnp.dtype) -> PyTree:
    def cast(leaf: jax.Array) -> jax.Array:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(dtype) if floating else leaf

    return jax.tree.map(cast, tree)
