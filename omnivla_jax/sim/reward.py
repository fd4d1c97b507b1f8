"""Dense reward terms; the sparse one is the task's predicate.

Axes: B environments, T tasks, G goals.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim import panda, predicates
from omnivla_jax.sim.scene import Scene, goal_body
from omnivla_jax.sim.state import EnvState

ALIGNMENT_SCALE = 0.1  # m: the distance at which the term has fallen to 1 - tanh(1)


def alignment(scene: Scene, state: EnvState) -> jax.Array:
    """The paper's gripper-alignment term, float32 [B] in (0, 1].

    `1 - tanh(d / 0.1 m)` of the distance d between the grip site and what the first
    goal that does not hold is about; the paper states the idea, not the form.
    """
    held = predicates.verdicts(scene, state.physics, state.task)  # [B, G]
    pending = jnp.where(jnp.all(held, axis=-1), 0, jnp.argmin(held, axis=-1))
    body = jnp.asarray(_goal_bodies(scene, held.shape[1]))[state.task, pending]
    target = jnp.take_along_axis(state.physics.xpos, body[:, None, None], axis=1)[:, 0]
    hand = state.physics.xpos[:, scene.bodies[panda.EEF_BODY]]
    return 1.0 - jnp.tanh(jnp.linalg.norm(hand - target, axis=-1) / ALIGNMENT_SCALE)


def _goal_bodies(scene: Scene, most: int) -> np.ndarray:
    """int [T, G]: the body each goal is about."""
    table = np.zeros((scene.num_tasks, most), int)
    for row in scene.playable:
        for column, goal in enumerate(scene.tasks[row].goal):
            table[row, column] = goal_body(scene, goal)
    return table
