"""Random actions from fresh states, with or without cameras: what is timed of a scene.

Axes: B environments.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.state import EnvState, Scene
from omnivla_jax.world import observe
from omnivla_jax.world.visual_scene import VisualScene


def initial_states(scene: Scene, num_envs: int) -> EnvState:
    """States after a reset, the scene's tasks in turn."""
    task = jnp.resize(jnp.asarray(scene.task_ids), (num_envs,))
    keys = jax.random.split(jax.random.key(0), num_envs)
    program = compilation.jit(lambda task, keys: env.reset(scene, task, keys))
    return jax.block_until_ready(program(task, keys))


def rollout(
    scene: Scene,
    start: EnvState,
    key: jax.Array,
    *,
    steps: int,
    reach: float = 1.0,
    visuals: VisualScene | None = None,
    size: int = 0,
) -> tuple[EnvState, jax.Array]:
    """The states after `steps` control steps; consumes `key`.

    Args:
      scene: the static tables.
      start: B environments.
      key: of the actions.
      steps: control steps.
      reach: actions are uniform between minus this and this.
      visuals: draw the cameras after every step, without shadows as for policies.
      size: image side, pixels.

    Returns:
      The states, and the images' mean after every step, float32 [steps]: what nobody
      read would not be drawn.
    """
    shape = (start.task.shape[0], env.ACTION_SIZE)

    def one(state: EnvState, step_key: jax.Array) -> tuple[EnvState, jax.Array]:
        action = jax.random.uniform(step_key, shape, minval=-reach, maxval=reach)
        after, _ = env.step(scene, state, action)
        if visuals is None:
            return after, jnp.zeros(())
        images = observe.images(visuals, after.physics, size=size)
        return after, jnp.mean(images, dtype=jnp.float32)

    return jax.lax.scan(one, start, jax.random.split(key, steps))
