"""Gymnasium's vector API over a batch of LIBERO environments.

Axes: B environments, S image side.
"""

from pathlib import Path
from typing import Any, Mapping, Sequence, TypeAlias

import gymnasium
import jax
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from omnivla_jax.interop.gymnasium import programs
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.goals import task_ids
from omnivla_jax.sim.state import Scene

STATE_SIZE = 8
CONTROL_HZ = 20
SEED_LIMIT = 2**32  # of the seeds that `jax.random.key` takes in 32 bits
SUCCESS_ONLY = {"success": 1.0}

Infos: TypeAlias = dict[str, Any]
Observations: TypeAlias = dict[str, np.ndarray]


class LiberoVectorEnv(gymnasium.vector.VectorEnv):
    """B environments in one compiled step.

    Observations are a dict: `agentview` and `wrist`, upright uint8 [B, S, S, 3], and
    `state` float32 [B, 8] (grip site in m, axis-angle in rad, finger positions in m).
    Actions are LIBERO's OSC_POSE commands, float32 [B, 7] in [-1, 1], at 20 Hz.
    `terminated` is success; `truncated` is the time limit, or an episode whose physics
    diverged, which `infos["diverged"]` tells apart. Every info is an array [B]:
    `instruction`, `task`, `success`, `diverged` and `steps`.

    What happens in episode number k of environment i depends on its seed, its task, k
    and the actions, not on the other environments.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": CONTROL_HZ}

    def __init__(
        self,
        suite: str | Path | Scene,
        num_envs: int = 1,
        *,
        tasks: Sequence[int] | None = None,
        image_size: int = 128,
        engine: str = "auto",
        preset: str = "fast",
        horizon: int | None = None,
        reward_weights: Mapping[str, float] = SUCCESS_ONLY,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        render_size: int = 256,
    ) -> None:
        """Make the scene; programs compile when they are first called.

        Args:
          suite: a suite, a BDDL file or a folder of them, or a scene, whose tasks,
            engine, preset and time limit then hold.
          num_envs: how many environments B.
          tasks, engine, preset, horizon: as of `sim.scene.make`.
          image_size: pixels a side of the observed pictures.
          reward_weights: of the terms of `sim.goals.reward`, per control step.
          autoreset_mode: gymnasium's; `Disabled` wants `options["reset_mask"]`.
          render_mode: None or `rgb_array`: the agent's view, with shadows.
          render_size: pixels a side of what `render` returns.

        Raises:
          ValueError: an unknown suite, task, engine, preset, reward term or mode.
        """
        if num_envs < 1:
            raise ValueError(f"{num_envs=}: give at least 1.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"{render_mode=}: choose None or 'rgb_array'.")
        self._scene = (
            suite
            if isinstance(suite, Scene)
            else scenes.make(
                suite, tasks=tasks, engine=engine, preset=preset, horizon=horizon
            )
        )
        self._programs = programs.make(
            self._scene,
            image_size=image_size,
            render_size=render_size,
            reward_weights=tuple(reward_weights.items()),
        )
        self.num_envs, self.render_mode = num_envs, render_mode
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self._mode}
        self._define_spaces(image_size)
        self._state = programs.empty_state(self._scene, num_envs)
        self._started = False
        self._seed = np.zeros(num_envs, np.uint32)
        self._episode = np.zeros(num_envs, np.int32)  # of the next restart
        self._chosen = np.full(num_envs, programs.NO_TASK, np.int32)  # by `options`
        self._previous = np.zeros((num_envs, env.ACTION_SIZE), np.float32)
        self._ended = np.zeros(num_envs, bool)

    def _define_spaces(self, image_size: int) -> None:
        """What gymnasium asks for: the spaces of one environment and of all."""
        spaces = gymnasium.spaces
        picture = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        limits = (-np.inf, np.inf, (STATE_SIZE,), np.float32)
        self.single_observation_space = spaces.Dict(
            {"agentview": picture, "wrist": picture, "state": spaces.Box(*limits)}
        )
        self.single_action_space = spaces.Box(-1, 1, (env.ACTION_SIZE,), np.float32)
        self.observation_space = batch_space(
            self.single_observation_space, self.num_envs
        )
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, Infos]:
        """Start fresh episodes.

        The scene's tasks take turns: episode k of environment i plays task number
        i + k B of them, cyclically.

        Args:
          seed: environment i gets seed + i, or its own of a sequence, in [0, 2**32).
            None continues: the next episodes of the seeds before, or random seeds.
          options: `task`, a row of the suite or one for each environment, which these
            episodes and those after them play instead of taking turns;
            `reset_mask`, bool [B]: only these environments.

        Returns:
          Observations and infos.

        Raises:
          ValueError: unknown options or tasks, or wrong shapes or seeds.
        """
        options = options or {}
        unknown = sorted(set(options) - {"task", "reset_mask"})
        if unknown:
            raise ValueError(f"Unknown options {unknown}: give task or reset_mask.")
        which = np.asarray(options.get("reset_mask", np.ones(self.num_envs, bool)))
        if which.shape != (self.num_envs,) or which.dtype != bool or not which.any():
            raise ValueError(
                f"options['reset_mask'] is {which.dtype} {list(which.shape)}: give "
                f"bool [{self.num_envs}] with at least one True."
            )
        if not (self._started or which.all()):
            raise ValueError("The first reset must be of all environments.")
        self._choose_tasks(which, options.get("task"))
        self._choose_seeds(which, seed)
        self._started = True
        self._restart(which)
        return self._observe(), self._infos()

    def step(
        self, actions: np.ndarray
    ) -> tuple[Observations, np.ndarray, np.ndarray, np.ndarray, Infos]:
        """One control step of all environments, with the autoreset of the mode.

        Args:
          actions: float32 [B, 7]; beyond [-1, 1] they are clipped, and one that is not
            finite makes its episode diverge.

        Returns:
          Observations, rewards float32 [B], terminated bool [B], truncated bool [B],
          infos. Under `NextStep` the step after an episode's end only resets it; under
          `SameStep` `final_obs` and `final_info` hold the end of the one before.

        Raises:
          gymnasium.error.ResetNeeded: not reset yet, or ended under `Disabled`.
          ValueError: actions of another shape.
        """
        action = self._checked_action(actions)
        next_step = self._mode is AutoresetMode.NEXT_STEP
        restarting = self._ended & next_step
        self._state, timestep, reward = self._programs.advance(
            self._state, action, self._previous
        )
        terminated = np.array(timestep.terminated) & ~restarting
        truncated = np.array(timestep.truncated) & ~restarting
        self._previous, self._ended = action, terminated | truncated
        final: Infos = {}
        if self._mode is AutoresetMode.SAME_STEP and self._ended.any():
            final, restarting = self._final_infos(), self._ended
        if restarting.any():
            self._restart(restarting)
        rewards = np.where(restarting & next_step, 0.0, reward).astype(np.float32)
        infos = self._infos() | final
        return self._observe(), rewards, terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...]:
        """Return the agent's view of each environment, uint8 [S, S, 3].

        Raises:
          ValueError: the environment was made without `render_mode="rgb_array"`.
        """
        if self.render_mode is None:
            raise ValueError('Nothing to render: make it with render_mode="rgb_array".')
        self._require_episodes()
        return tuple(np.array(self._programs.draw(self._state)))

    def close_extras(self, **kwargs: Any) -> None:
        """Let go of the episodes."""
        del kwargs, self._state

    def _checked_action(self, actions: Any) -> np.ndarray:
        """A float32 copy of `actions`; raises as `step` says."""
        self._require_episodes()
        if self._mode is AutoresetMode.DISABLED and self._ended.any():
            ended = np.flatnonzero(self._ended).tolist()
            raise gymnasium.error.ResetNeeded(
                f"Environments {ended} have ended: reset them, with "
                "options={'reset_mask': ...} where the others go on."
            )
        action = np.array(actions, np.float32)
        if action.shape != self.action_space.shape:
            raise ValueError(
                f"Actions have shape {list(action.shape)}: give [{self.num_envs}, 7]."
            )
        return action

    def _require_episodes(self) -> None:
        if self.closed:
            raise gymnasium.error.ClosedEnvironmentError(
                "The environments are closed: make new ones."
            )
        if not self._started:
            raise gymnasium.error.ResetNeeded("There are no episodes yet: call reset.")

    def _choose_tasks(self, which: np.ndarray, task: Any) -> None:
        """Fix the tasks of environments `which`; None lets them take turns."""
        if task is None:
            self._chosen[which] = programs.NO_TASK
            return
        if np.shape(task) not in ((), (self.num_envs,)):
            raise ValueError(
                f"options['task'] has shape {list(np.shape(task))}: give one number, "
                f"or {self.num_envs}."
            )
        rows = np.broadcast_to(np.asarray(task), (self.num_envs,))
        self._chosen[which] = np.asarray(task_ids.check(self._scene, rows[which]))

    def _choose_seeds(self, which: np.ndarray, seed: Any) -> None:
        """Seed environments `which`, and count their episodes from 0."""
        if self.closed:
            raise gymnasium.error.ClosedEnvironmentError(
                "The environments are closed: make new ones."
            )
        if seed is None and self._started:
            return
        if seed is None:
            seeds = self.np_random.integers(SEED_LIMIT, size=self.num_envs)
        elif np.ndim(seed) == 0:
            super().reset(seed=int(seed))
            seeds = int(seed) + np.arange(self.num_envs)
        else:
            seeds = np.asarray(seed)
        if (
            seeds.shape != (self.num_envs,)
            or not ((seeds >= 0) & (seeds < SEED_LIMIT)).all()
        ):
            raise ValueError(
                f"{seed=}: give one or {self.num_envs} integers from 0, below 2**32."
            )
        self._seed[which] = seeds[which]
        self._episode[which] = 0

    def _restart(self, which: np.ndarray) -> None:
        """Begin the next episode of environments `which`."""
        held = np.asarray(self._scene.task_ids, np.int32)
        turn = np.arange(self.num_envs) + self._episode * self.num_envs
        task = np.where(self._chosen < 0, held[turn % len(held)], self._chosen)
        self._state = self._programs.restart(
            self._state, which, task.astype(np.int32), self._seed, self._episode
        )
        self._episode = self._episode + which
        self._ended = self._ended & ~which
        self._previous = np.where(which[:, None], env.WAIT_ACTION, self._previous)
        self._previous = self._previous.astype(np.float32)

    def _observe(self) -> Observations:
        """The caller's own copies of the observations."""
        return jax.tree.map(np.array, self._programs.observe(self._state))

    def _infos(self) -> Infos:
        """What gymnasium calls infos: arrays [B], and for each which of them count."""
        task = np.array(self._state.task)
        texts = [self._scene.tasks[row].instruction for row in task]
        infos = {
            "instruction": np.array(texts, object),
            "task": task,
            "success": np.array(self._state.success),
            "diverged": np.array(self._state.diverged),
            "steps": np.array(self._state.steps),
        }
        every = {f"_{name}": np.ones(self.num_envs, bool) for name in infos}
        return infos | every

    def _final_infos(self) -> Infos:
        """The last observation and infos of the episodes that ended in this step."""
        observations = self._observe()
        final = np.full(self.num_envs, None, object)
        for row in np.flatnonzero(self._ended):
            final[row] = {name: leaf[row] for name, leaf in observations.items()}
        infos = self._infos()
        infos |= {key: self._ended.copy() for key in infos if key.startswith("_")}
        return {
            "final_obs": final,
            "_final_obs": self._ended.copy(),
            "final_info": infos,
            "_final_info": self._ended.copy(),
        }
