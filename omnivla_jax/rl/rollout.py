"""Rolling a policy out in an environment: one `lax.scan` over chunks of actions.

Neither policy nor simulator is known here: both arrive as callables.

Axes: T chunks of an episode, B environments, H actions of a chunk, D their dimensions.
"""

from typing import Callable, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, PyTree, Transition

# act_fn(state, key) -> (extras, actions): what scoring the chunk needs, and the chunk.
ActFn: TypeAlias = Callable[[PyTree, jax.Array], tuple[PyTree, ActionChunk]]
# step_fn(state, actions) -> (state, reward [B], mask [B, H]); mask: 1 on actions that
# were executed, 0 behind an episode's end.
StepFn: TypeAlias = Callable[[PyTree, ActionChunk], tuple[PyTree, jax.Array, jax.Array]]


def rollout(
    act_fn: ActFn, step_fn: StepFn, state: PyTree, key: jax.Array, *, num_chunks: int
) -> tuple[PyTree, Transition]:
    """The last state, and the transitions of `num_chunks` chunks, stacked [T, B, ...].

    A transition holds what `act_fn` returned as its extras and action; reward is
    float32 [T, B], mask [T, B, H]. `act_fn` gets `fold_in(key, t)` in chunk t; the key
    is consumed. Raises ValueError where there is no chunk to run.
    """
    if num_chunks < 1:
        raise ValueError(f"A rollout needs at least one chunk, not {num_chunks}.")

    def step(state: PyTree, chunk: jax.Array) -> tuple[PyTree, Transition]:
        extras, actions = act_fn(state, jax.random.fold_in(key, chunk))
        state, reward, mask = step_fn(state, actions)
        chex.assert_shape(reward, actions.shape[:1])
        chex.assert_shape(mask, actions.shape[:2])
        chex.assert_type([reward, mask], jnp.float32)
        return state, Transition(extras, actions, reward, mask)

    return jax.lax.scan(step, state, jnp.arange(num_chunks))
