"""Which tasks the next episodes are of: those whose outcome is least certain.

A group whose episodes all succeed, or all fail, teaches nothing. Tasks therefore get
groups by the variance p (1 - p) of their success p, which is remembered as a moving
average of what was seen.

Axes: M tasks, N initial states, B episodes.
"""

import chex
import jax
import jax.numpy as jnp

# The least weight of a task: a solved one is still played, or nobody would notice that
# it is unlearned; a hopeless one, too. As of p = 0.05.
LEAST_VARIANCE = 0.0475
INITIAL_SUCCESS = 0.5  # success of a task that was never played


def initial_success(count: int) -> jax.Array:
    """Remembered success of tasks that were never played, float32 [M]."""
    return jnp.full(count, INITIAL_SUCCESS, jnp.float32)


def allocate(key: jax.Array, success: jax.Array, *, count: int) -> jax.Array:
    """Draw tasks by the variance of their success; consumes `key`.

    By systematic sampling: each gets its share rounded down or up, so that only the
    remainder is chance.

    Args:
      key: typed key.
      success: float32 [M] in [0, 1], remembered.
      count: N.

    Returns:
      int32 [N], numbers of tasks below M, rising.
    """
    chex.assert_rank(success, 1)
    chex.assert_type(success, jnp.float32)
    weight = jnp.maximum(success * (1.0 - success), LEAST_VARIANCE)
    ends = jnp.cumsum(weight) / jnp.sum(weight)
    places = (jnp.arange(count, dtype=jnp.float32) + jax.random.uniform(key)) / count
    task = jnp.searchsorted(ends, places, side="right")
    return jnp.minimum(task, len(success) - 1).astype(jnp.int32)  # the sum may round


def remember(
    success: jax.Array, task: jax.Array, succeeded: jax.Array, *, decay: float
) -> jax.Array:
    """The remembered success after some more episodes; unplayed tasks keep theirs.

    Args:
      success: float32 [M], before them.
      task: int32 [B], numbers of tasks below M.
      succeeded: bool [B].
      decay: in [0, 1), weight of what was remembered.

    Returns:
      float32 [M].
    """
    chex.assert_equal_shape([task, succeeded])
    of_task = jax.nn.one_hot(task, len(success), dtype=jnp.float32)
    counts = jnp.sum(of_task, axis=0)
    rate = succeeded.astype(jnp.float32) @ of_task / jnp.maximum(counts, 1.0)
    return jnp.where(counts > 0, decay * success + (1.0 - decay) * rate, success)
