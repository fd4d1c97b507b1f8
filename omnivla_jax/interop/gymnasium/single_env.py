"""Gymnasium's API of one environment: a batch of one.

Axes: S image side.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from omnivla_jax.interop.gymnasium.vector_env import (
    Infos,
    LiberoVectorEnv,
    Observations,
)


class LiberoEnv(gymnasium.Env):
    """One LIBERO environment; see `LiberoVectorEnv`, which is as fast for many."""

    metadata = LiberoVectorEnv.metadata

    def __init__(self, suite: Any, *, render_mode: str | None = None, **settings: Any):
        """Args and Raises as of `LiberoVectorEnv`, without those of a batch."""
        self._batch = LiberoVectorEnv(
            suite,
            num_envs=1,
            autoreset_mode=AutoresetMode.DISABLED,
            render_mode=render_mode,
            **settings,
        )
        self.render_mode = render_mode
        self.observation_space = self._batch.single_observation_space
        self.action_space = self._batch.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, Infos]:
        """Start a fresh episode; `options["task"]` is a row of the suite."""
        super().reset(seed=seed)
        observations, infos = self._batch.reset(seed=seed, options=options)
        return _first(observations), _first(infos)

    def step(self, action: np.ndarray) -> tuple[Observations, float, bool, bool, Infos]:
        """One control step of an action float32 [7], as `LiberoVectorEnv.step`."""
        observations, rewards, terminated, truncated, infos = self._batch.step(
            np.asarray(action)[None]
        )
        outcome = float(rewards[0]), bool(terminated[0]), bool(truncated[0])
        return _first(observations), *outcome, _first(infos)

    def render(self) -> np.ndarray:
        """Return the agent's view, uint8 [S, S, 3]."""
        return self._batch.render()[0]

    def close(self) -> None:
        """Let go of the episode."""
        self._batch.close()


def _first(batch: dict[str, Any]) -> dict[str, Any]:
    """The only row of a batch's arrays, without gymnasium's masks."""
    return {name: leaf[0] for name, leaf in batch.items() if not name.startswith("_")}
