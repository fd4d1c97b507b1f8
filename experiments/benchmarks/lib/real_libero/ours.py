"""Our side of the comparisons: episodes from LIBERO's initial states, batched.

A success ends nothing here: what the real simulator does afterwards has to be seen as
well, so that actions continue for some steps.
Axes: N initial states, T control steps, nq' entries of LIBERO's `qpos` of the task.
"""

import dataclasses
from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.lib.libero_recordings import NEVER
from experiments.benchmarks.lib.real_libero.recordings import Starts
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.resets import recorded_states
from omnivla_jax.sim.state import EnvState, Scene
from omnivla_jax.world import expert

STEPS_PER_CALL = 40  # control steps of one call
TAIL = 20  # actions that follow a success, for a simulator in which it comes later

# (state, memory, action [N, 7] of this step) -> action [N, 7], memory
ActFn = Callable[[EnvState, Any, jax.Array], tuple[jax.Array, Any]]


class OurEpisode(NamedTuple):
    """One episode after the waiting steps."""

    actions: np.ndarray  # float32 [T, 7]
    qpos: np.ndarray  # float32 [T + 1, nq'], LIBERO's order; the first one at rest
    success_step: int  # from 1; NEVER
    diverged: bool


def settled(scene: Scene, task: int, starts: Starts) -> EnvState:
    """N episodes after LIBERO's ten waiting steps."""

    def run(qpos: jax.Array, qvel: jax.Array, fixtures: Any) -> EnvState:
        rows = jnp.full(qpos.shape[0], task)
        return env.settle(
            scene, env.restore(scene, rows, qpos, qvel, fixtures=fixtures)
        )

    numbers = (starts.qpos(), starts.qvel(), starts.fixtures)
    float32 = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), numbers)
    return compilation.jit(run)(*float32)


def recorded_qpos(scene: Scene, task: int, state: EnvState) -> jax.Array:
    """The positions [N, nq'] as LIBERO's model of the task orders them."""
    physics = state.physics
    return recorded_states.from_scene(scene, task, physics.qpos, physics.qvel)[0]


def play_expert(scene: Scene, task: int, starts: Starts) -> list[OurEpisode]:
    """The expert's N episodes, until each has succeeded or is out of time."""
    first = settled(scene, task, starts)
    count, horizon = len(starts.states), scene.suite.horizon
    nothing = np.zeros((horizon, count, env.ACTION_SIZE), np.float32)
    return _play(
        scene,
        task,
        first,
        lambda state, memory, _: expert.act(scene, state, memory),
        expert.init(first),
        nothing,
    )


def play_actions(
    scene: Scene, task: int, starts: Starts, actions: Sequence[np.ndarray]
) -> list[OurEpisode]:
    """N sequences of actions [T, 7] open loop, one from each initial state."""
    shape = max(map(len, actions)), len(actions), env.ACTION_SIZE
    padded = np.zeros(shape, np.float32)
    for row, sequence in enumerate(actions):
        padded[: len(sequence), row] = sequence
    first = settled(scene, task, starts)
    played = _play(scene, task, first, lambda _, memory, now: (now, memory), (), padded)
    return [cut(episode, len(mine)) for episode, mine in zip(played, actions)]


def cut(episode: OurEpisode, length: int) -> OurEpisode:
    """The first control steps of an episode."""
    step = episode.success_step
    return episode._replace(
        actions=episode.actions[:length],
        qpos=episode.qpos[: length + 1],
        success_step=step if step <= length else NEVER,
    )


def _play(
    scene: Scene,
    task: int,
    first: EnvState,
    act: ActFn,
    memory: Any,
    given: np.ndarray,
) -> list[OurEpisode]:
    """Play segment by segment, until all have succeeded and gone on for a while."""
    segment, carry = _make_segment(scene, task, act), (first, memory)
    length, parts = len(given), []
    padding = -length % STEPS_PER_CALL
    given = np.concatenate([given, np.zeros((padding, *given.shape[1:]), np.float32)])
    for begin in range(0, length, STEPS_PER_CALL):
        carry, part = segment(carry, given[begin : begin + STEPS_PER_CALL])
        parts.append(jax.tree.map(np.asarray, part))
        succeeded = np.concatenate([success for *_, success in parts])
        if succeeded[:-TAIL].any(axis=0).all():
            break
    columns = [np.concatenate(column)[:length] for column in zip(*parts)]
    start = np.asarray(recorded_qpos(scene, task, first))[None]
    diverged = np.asarray(carry[0].diverged)
    return _episodes(columns, start, diverged)


def _make_segment(scene: Scene, task: int, act: ActFn) -> Callable[..., Any]:
    """Compile some control steps: (carry, actions) -> carry, what happened."""

    def one(carry: tuple[EnvState, Any], given: jax.Array) -> tuple:
        action, memory = act(*carry, given)
        after, _ = env.step(scene, carry[0], action)
        happened = action, recorded_qpos(scene, task, after), after.success
        going_on = dataclasses.replace(after, success=jnp.zeros_like(after.success))
        return (going_on, memory), happened

    return compilation.jit(lambda carry, given: jax.lax.scan(one, carry, given))


def _episodes(
    columns: Sequence[np.ndarray], start: np.ndarray, diverged: np.ndarray
) -> list[OurEpisode]:
    """Cut what happened [T, N, ...] into episodes that end TAIL after a success."""
    actions, qpos, success = columns
    qpos, played = np.concatenate([start, qpos]), []
    for row in range(len(diverged)):
        won = success[:, row]
        step = int(won.argmax()) + 1 if won.any() else NEVER
        whole = OurEpisode(actions[:, row], qpos[:, row], step, bool(diverged[row]))
        length = len(actions) if step == NEVER else step + TAIL
        played.append(cut(whole, length))
    return played
