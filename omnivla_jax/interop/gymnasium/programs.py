"""The compiled programs behind the gymnasium environments.

Axes: B environments, S image side.
"""

import functools
from typing import Callable, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import TimeStep
from omnivla_jax.sim import env
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.goals import reward
from omnivla_jax.sim.state import EnvState, Scene, choose
from omnivla_jax.world import observe, proprioception, visual_scene
from omnivla_jax.world.visual_scene import VisualScene

NO_TASK = -1  # no scene holds it: such an episode is frozen from its start
RENDER_SUPERSAMPLE = 2  # rays per pixel along a side, for people

Arrays: TypeAlias = dict[str, jax.Array]


class Programs(NamedTuple):
    """Functions of a batch of B episodes, each compiled at its first call."""

    # (state, which [B], task [B], seed [B], number of the episode [B]) -> the state
    # with fresh episodes where `which`
    restart: Callable[..., EnvState]
    # (state, action [B, 7], action before it [B, 7]) -> state, outcome, reward [B]
    advance: Callable[..., tuple[EnvState, TimeStep, jax.Array]]
    observe: Callable[[EnvState], Arrays]  # what an environment returns
    draw: Callable[[EnvState], jax.Array]  # uint8 [B, S, S, 3], the agent's view


@functools.lru_cache(maxsize=8)  # environments of one scene share its programs
def make(
    scene: Scene,
    *,
    image_size: int,
    render_size: int,
    reward_weights: tuple[tuple[str, float], ...],
) -> Programs:
    """Make the programs of a scene.

    Args:
      scene: the static tables.
      image_size: pixels a side of the observed pictures.
      render_size: pixels a side of the pictures for people.
      reward_weights: pairs of a term of `sim.goals.reward` and its weight.

    Raises:
      ValueError: naming unknown reward terms and the known ones.
    """
    weights = dict(reward_weights)
    reward.check(weights)
    visuals = visual_scene.make(scene)
    agent_view = visuals._replace(cameras=visuals.cameras[: observe.AGENT_VIEW + 1])
    fused = ENGINES[scene.engine].supports_fusion
    draw = functools.partial(
        observe.images,
        agent_view,
        size=render_size,
        shadows=True,
        supersample=RENDER_SUPERSAMPLE,
    )
    return Programs(
        compilation.jit(functools.partial(_restart, scene), fused=fused),
        compilation.jit(functools.partial(_advance, scene, weights), fused=fused),
        compilation.jit(
            functools.partial(_observe, scene, visuals, image_size), fused=True
        ),
        compilation.jit(lambda state: draw(state.physics)[:, 0], fused=True),
    )


def _restart(
    scene: Scene,
    state: EnvState,
    which: jax.Array,
    task: jax.Array,
    seed: jax.Array,
    episode: jax.Array,
) -> EnvState:
    chex.assert_equal_shape([which, task, seed, episode])
    keys = jax.vmap(lambda s, e: jax.random.fold_in(jax.random.key(s), e))(
        seed, episode
    )
    fresh = env.reset(scene, jnp.where(which, task, NO_TASK), keys)
    return choose(which, fresh, state)


def _advance(
    scene: Scene,
    weights: dict[str, float],
    state: EnvState,
    action: jax.Array,
    previous: jax.Array,
) -> tuple[EnvState, TimeStep, jax.Array]:
    after, timestep = env.step(scene, state, action)
    terms = reward.compute(scene, after, action, previous, weights)
    weighted = [weight * terms[name] for name, weight in weights.items()]
    return after, timestep, sum(weighted, jnp.zeros(state.task.shape))


def _observe(
    scene: Scene, visuals: VisualScene, image_size: int, state: EnvState
) -> Arrays:
    pictures = observe.images(visuals, state.physics, size=image_size)
    return {
        "agentview": pictures[:, 0],
        "wrist": pictures[:, 1],
        "state": proprioception.policy_state(scene, state),
    }


def empty_state(scene: Scene, num_envs: int) -> EnvState:
    """A state of zeros for `restart` to fill: it has the shapes and is no episode.

    Args:
      scene: the static tables.
      num_envs: how many environments B.

    Returns:
      Leaves [B, ...].
    """
    task = jnp.full(num_envs, scene.task_ids[0], jnp.int32)
    shapes = jax.eval_shape(
        lambda keys: env.reset(scene, task, keys),
        jax.eval_shape(lambda: jax.random.split(jax.random.key(0), num_envs)),
    )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
