"""Episodes of the simulator as the records of `reporting.watch`.

Axes: T frames, R episodes, N bodies, K observations, V camera views, S image side.
"""

from pathlib import Path
from typing import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from experiments.reporting import watch
from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import PyTree
from omnivla_jax.sim import env
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.goals import reward
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.world import expert, observe, visual_scene
from omnivla_jax.world.visual_scene import VisualScene

TERMS = ("alignment", "progress")  # of the state alone: actions are not recorded
TAIL_FRAMES = 12  # after the success, when nothing moves any more


def write(
    path: Path,
    scene: Scene,
    states: PyTree,
    instructions: Sequence[str],
    *,
    every: int,
    size: int,
    chunked: bool = True,
    note: str = "",
) -> None:
    """Write recorded states of a few episodes as one page.

    Args:
      path: the HTML file, written whole or not at all.
      scene: the static tables.
      states: simulator states [T, R, ...], at first and after every control step.
      instructions: R texts that the policy got.
      every: control steps between two pictures.
      size: image side S of an observation, pixels.
      chunked: whether the policy saw these pictures, and chose a chunk of actions at
        each.
      note: a sentence on where the episodes come from.
    """
    states = jax.tree.map(np.asarray, states)
    visuals = visual_scene.make(scene)
    records = make_records(
        scene, visuals, states, instructions, every=every, size=size, chunked=chunked
    )
    watch.write(
        path,
        visuals,
        records,
        title=f"Episodes of {scene.name}",
        pictures_title="What the policy saw" if chunked else "What the cameras see",
        note=note,
    )


def make_records(
    scene: Scene,
    visuals: VisualScene,
    states: EnvState,
    instructions: Sequence[str],
    *,
    every: int,
    size: int,
    chunked: bool,
) -> list[watch.EpisodeRecord]:
    """A record for each episode, cut after its success; Args as of `write`."""
    frames, count = states.success.shape
    observed = range(0, max(1, frames - 1), every)
    pictures = _pictures(visuals, states, observed, size)
    terms = _reward_terms(scene, states)
    records = []
    for row in range(count):
        reached = np.flatnonzero(states.success[:, row])
        success = int(reached[0]) if len(reached) else None
        length = frames if success is None else min(frames, success + TAIL_FRAMES)
        ending = "diverged" if states.diverged[-1, row] else "failure"
        # What came after the success was not decided any more.
        shown = [at for at in observed if at < (success or length)]
        position = np.asarray(states.physics.xpos[:length, row])
        record = watch.EpisodeRecord(
            title=instructions[row],
            label=f"episode {row + 1}, task {states.task[0, row]} of {scene.name}",
            outcome=ending if success is None else "success",
            success=success,
            position=position,
            quaternion=np.asarray(states.physics.xquat[:length, row]),
            hand=position[:, scene.bodies[panda.EEF_BODY]],
            decisions=shown if chunked else (),
            curves={name: values[:length, row] for name, values in terms.items()},
            pictures=pictures[: len(shown), row],
            picture_frames=shown,
        )
        records.append(record)
    return records


def play_expert(
    scene: Scene, tasks: Sequence[int], key: jax.Array, *, max_steps: int
) -> EnvState:
    """Play the scripted expert, one episode for each of `tasks`.

    Args:
      scene: the static tables.
      tasks: R rows of the suite.
      key: of the initial states; consumed.
      max_steps: control steps, fewer where all episodes end before.

    Returns:
      States [T, R, ...], at first and after every control step.
    """
    fused = ENGINES[scene.engine].supports_fusion
    keys = jax.random.split(key, len(tasks))
    reset = compilation.jit(
        lambda task, keys: env.reset(scene, task, keys), fused=fused
    )

    def advance(
        state: EnvState, servo: expert.ExpertState
    ) -> tuple[EnvState, expert.ExpertState]:
        action, servo = expert.act(scene, state, servo)
        return env.step(scene, state, action)[0], servo

    step = compilation.jit(advance, fused=fused)
    state = reset(jnp.asarray(tasks, jnp.int32), keys)
    servo, states = expert.init(state), [jax.device_get(state)]
    while len(states) <= max_steps and not np.all(states[-1].frozen):
        state, servo = step(state, servo)
        states.append(jax.device_get(state))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *states)


def _pictures(
    visuals: VisualScene, states: EnvState, frames: Sequence[int], size: int
) -> np.ndarray:
    """What the cameras see at some frames: uint8 [K, R, V, S, S, 3]."""
    draw = compilation.jit(
        lambda physics: observe.images(visuals, physics, size=size), fused=True
    )
    return np.stack(
        [
            np.asarray(draw(jax.tree.map(lambda leaf: leaf[frame], states.physics)))
            for frame in frames
        ]
    )


def _reward_terms(scene: Scene, states: EnvState) -> dict[str, np.ndarray]:
    """The terms of `TERMS` at every frame, float32 [T, R] each."""
    frames, count = states.success.shape
    rows = frames * count  # no -1: some leaves are empty
    flat = jax.tree.map(lambda leaf: leaf.reshape(rows, *leaf.shape[2:]), states)
    unread = jnp.zeros((rows, env.ACTION_SIZE))
    compute = compilation.jit(
        lambda state: reward.compute(scene, state, unread, unread, TERMS)
    )
    return {
        name: np.asarray(values).reshape(frames, count)
        for name, values in compute(flat).items()
    }
