"""Demonstrations: the scripted expert played in batches, successes kept as episodes.

Axes: B environments, T control steps, V camera views, S image side.
"""

from typing import Callable, Iterator, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import compile
from omnivla_jax.core.types import Demonstration
from omnivla_jax.sim import env
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.world import expert, observe, proprioception
from omnivla_jax.world.visual_scene import Look

ACTION_LIMIT = 1.0


class Recording(NamedTuple):
    """A batch of expert episodes, time first."""

    images: jax.Array  # uint8 [T, B, V, S, S, 3]
    state: jax.Array  # float32 [T, B, 8]
    joint_state: jax.Array  # float32 [T, B, 7]
    action: jax.Array  # float32 [T, B, 7]
    success: jax.Array  # bool [T, B]: the goal holds after action t
    diverged: jax.Array  # bool [T, B]: the episode broke off at action t or before


class Playing(NamedTuple):
    """Expert episodes under way."""

    state: EnvState
    memory: expert.Memory


Recorder = Callable[[jax.Array, jax.Array], Recording]
Begin = Callable[[jax.Array, jax.Array], Playing]
Continue = Callable[[Playing, jax.Array], tuple[Playing, Recording]]


def recorder(
    scene: Scene, look: Look, *, steps: int, size: int, noise: float
) -> Recorder:
    """A compiled function of (task [B], key) that plays `steps` expert steps.

    `noise` is the standard deviation of Gaussian noise on the commanded translation
    and rotation, which shows the expert recovering (DART); the key is consumed.
    """

    def record(task: jax.Array, key: jax.Array) -> Recording:
        reset_key, noise_key = jax.random.split(key)
        start = _begin(scene, task, reset_key)
        played = _play(
            scene, look, start, noise_key, steps=steps, size=size, noise=noise
        )
        return played[1]

    return compile.jit(record)


def player(
    scene: Scene, look: Look, *, steps: int, size: int, noise: float
) -> tuple[Begin, Continue]:
    """Two compiled functions: begin episodes, and play `steps` more steps of them.

    For long episodes: whoever calls stops once all have succeeded. Both take a key.
    """

    def begin(task: jax.Array, key: jax.Array) -> Playing:
        return _begin(scene, task, key)

    def go_on(playing: Playing, key: jax.Array) -> tuple[Playing, Recording]:
        return _play(scene, look, playing, key, steps=steps, size=size, noise=noise)

    return compile.jit(begin), compile.jit(go_on)


def _begin(scene: Scene, task: jax.Array, key: jax.Array) -> Playing:
    state = env.reset(scene, task, jax.random.split(key, task.shape[0]))
    return Playing(state, expert.start(state))


def _play(
    scene: Scene,
    look: Look,
    playing: Playing,
    key: jax.Array,
    *,
    steps: int,
    size: int,
    noise: float,
) -> tuple[Playing, Recording]:
    def act(playing: Playing, step_key: jax.Array) -> tuple[Playing, Recording]:
        state = playing.state
        action, memory = expert.act(scene, state, playing.memory)
        disturbed = disturb(step_key, action, noise)
        after, _ = env.step(scene, state, disturbed)
        seen = Recording(
            observe.images(look, state.physics, size=size),
            proprioception.policy_state(scene, state),
            proprioception.joint_state(state),
            disturbed,
            after.success,
            after.diverged,
        )
        return Playing(after, memory), seen

    return jax.lax.scan(act, playing, jax.random.split(key, steps))


def disturb(key: jax.Array, action: jax.Array, noise: float) -> jax.Array:
    """Add noise to translation and rotation [B, :6]; the gripper keeps its command."""
    wobble = noise * jax.random.normal(key, action[:, :6].shape)
    arm = jnp.clip(action[:, :6] + wobble, -ACTION_LIMIT, ACTION_LIMIT)
    return jnp.concatenate([arm, action[:, 6:]], axis=-1)


def successes(
    scene: Scene, task: jax.Array, recording: Recording
) -> Iterator[Demonstration]:
    """The episodes that reached their goal in time, each cut after that step."""
    tasks, horizon = np.asarray(task), scene.suite.horizon
    arrays = jax.tree.map(lambda leaf: np.asarray(leaf)[:horizon], recording)
    for index in np.flatnonzero(arrays.success[-1]):
        length = int(arrays.success[:, index].argmax()) + 1
        row = int(tasks[index])
        yield Demonstration(
            images=arrays.images[:length, index].copy(),
            state=arrays.state[:length, index].copy(),
            joint_state=arrays.joint_state[:length, index].copy(),
            action=arrays.action[:length, index].copy(),
            instruction=scene.tasks[row].instruction,
            task=row,
        )
