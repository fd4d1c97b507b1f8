"""Reward terms by name: the unscaled values of one control step.

Every term is a function of (scene, state after the step, action of the step, action
before it). The config says which terms count, and how much. Terms are levels, to be
averaged over an episode's running steps; those in `SPARSE_TERMS` happen in one step and
are to be summed.
Axes: B environments, D action dimensions, T tasks, G goals.
"""

from typing import Callable, Iterable, TypeAlias

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.goals import predicates, task_ids
from omnivla_jax.sim.goals.distance import goal_progress
from omnivla_jax.sim.state import EnvState, Scene, goal_body

ALIGNMENT_SCALE = 0.1  # m: the distance at which the term has fallen to 1 - tanh(1)
SPARSE_TERMS = frozenset({"success"})

Term: TypeAlias = Callable[[Scene, EnvState, jax.Array, jax.Array], jax.Array]


def compute(
    scene: Scene,
    state: EnvState,
    action: jax.Array,
    previous_action: jax.Array,
    names: Iterable[str],
) -> dict[str, jax.Array]:
    """The raw value of each of the terms `names`.

    Args:
      scene: the static tables.
      state: the batch after the step.
      action: float32 [B, D], of the step; beyond [-1, 1] it is clipped.
      previous_action: float32 [B, D], of the step before; before the first one it is
        `env.WAIT_ACTION`, with which the objects were left to settle.
      names: keys of `TERMS`.

    Returns:
      {name: float32 [B]}.

    Raises:
      ValueError: naming the unknown terms and the known ones.
    """
    wanted = check(names)
    chex.assert_shape([action, previous_action], (state.task.shape[0], None))
    values = {
        name: TERMS[name](scene, state, action, previous_action) for name in wanted
    }
    chex.assert_shape(list(values.values()), state.task.shape)
    return values


def check(names: Iterable[str]) -> tuple[str, ...]:
    """`names` as they are; raises ValueError where one is no key of `TERMS`."""
    wanted = tuple(names)
    unknown = [name for name in wanted if name not in TERMS]
    if unknown:
        raise ValueError(f"Unknown reward terms {unknown}: choose among {list(TERMS)}.")
    return wanted


def _alignment(scene: Scene, state: EnvState) -> jax.Array:
    """In (0, 1]: the paper's gripper-alignment term.

    `1 - tanh(d / 0.1 m)` of the distance d between the grip site and the body of
    the first goal that does not hold; the paper states the idea, not the form. 0 for
    a task that the scene does not hold.
    """
    held = predicates.goals_satisfied(scene, state.physics, state.task)  # [B, G]
    pending = jnp.where(jnp.all(held, axis=-1), 0, jnp.argmin(held, axis=-1))
    rows = task_ids.rows(scene, state.task)
    bodies = np.zeros((len(scene.tasks), held.shape[1]), int)  # [T, G]
    for row in scene.task_ids:
        for column, goal in enumerate(scene.tasks[row].goal):
            bodies[row, column] = goal_body(scene, goal)
    body = jnp.asarray(bodies)[rows, pending]
    target = jnp.take_along_axis(state.physics.xpos, body[:, None, None], axis=1)[:, 0]
    hand = state.physics.xpos[:, scene.bodies[panda.EEF_BODY]]
    near = 1.0 - jnp.tanh(jnp.linalg.norm(hand - target, axis=-1) / ALIGNMENT_SCALE)
    return jnp.where(task_ids.is_held(scene, state.task), near, 0.0)


def _smoothness(action: jax.Array, previous_action: jax.Array) -> jax.Array:
    """In [-1, 0]: minus the mean square of half the action's change, gripper included.

    0 for a command kept, -1 for a jump from one end to the other in every dimension; 0
    where one is not finite, which `env.step` does not execute.
    """
    change = jnp.clip(action, -1.0, 1.0) - jnp.clip(previous_action, -1.0, 1.0)
    finite = jnp.isfinite(action) & jnp.isfinite(previous_action)
    change = jnp.where(jnp.all(finite, axis=-1, keepdims=True), change, 0.0)
    return -jnp.mean(jnp.square(0.5 * change), axis=-1)


TERMS: dict[str, Term] = {
    # 1 once the goal has been reached, 0 before; ended episodes have no more steps.
    "success": lambda scene, state, *_: state.success.astype(jnp.float32),
    "alignment": lambda scene, state, *_: _alignment(scene, state),
    "progress": lambda scene, state, *_: goal_progress(
        scene, state.physics, state.task
    ),
    "smoothness": lambda scene, state, *actions: _smoothness(*actions),
}
