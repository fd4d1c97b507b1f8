"""Dense reward terms; the sparse one is the task's predicate.

Axes: B environments, T tasks.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.sim import panda
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState

ALIGNMENT_SCALE = 0.1  # m: the distance at which the term has fallen to 1 - tanh(1)


def alignment(scene: Scene, state: EnvState) -> jax.Array:
    """The paper's gripper-alignment term, float32 [B] in (0, 1].

    `1 - tanh(d / 0.1 m)` of the distance d between the grip site and the thing that the
    task is about; the paper states the idea, not the form.
    """
    bodies = jnp.array([scene.bodies[task.interest] for task in scene.tasks])
    target = jnp.take_along_axis(
        state.physics.xpos, bodies[state.task][:, None, None], axis=1
    )[:, 0]
    hand = state.physics.xpos[:, scene.bodies[panda.EEF_BODY]]
    return 1.0 - jnp.tanh(jnp.linalg.norm(hand - target, axis=-1) / ALIGNMENT_SCALE)
