"""This simulator behind the interface of the real LIBERO, one episode at a time."""

import dataclasses
from typing import Any, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.lib.real_libero.recordings import Fixtures
from experiments.real_libero.remote import RealObservation
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.resets import recorded_states
from omnivla_jax.sim.state import EnvState, Scene

HAND_BODY = "right_hand"  # whose orientation robosuite shows


class SimulatedLibero:
    """One environment; `reset` and `step` as `RealLibero` has them.

    As there, a success ends nothing: it is only said of the step that brought it.
    """

    def __init__(self, scene: Scene, task: int) -> None:
        """Prepare.

        Args:
          scene: holds `task`.
          task: its row of the suite.
        """
        self._scene, self._task = scene, task
        # Where the next resets put fixtures: position [3], quaternion wxyz [4].
        self.fixtures: Fixtures = {}
        self._state: EnvState | None = None

        def restore(qpos: jax.Array, qvel: jax.Array, fixtures: Any) -> EnvState:
            row = jnp.full(1, task, jnp.int32)
            return env.restore(scene, row, qpos, qvel, fixtures=fixtures)

        def step(state: EnvState, action: jax.Array) -> EnvState:
            going_on = dataclasses.replace(state, success=jnp.zeros(1, bool))
            return env.step(scene, going_on, action)[0]

        self._restore, self._step = compilation.jit(restore), compilation.jit(step)

    def reset(self, state: np.ndarray) -> RealObservation:
        """Set a recorded state float64 [1 + nq + nv] (time first)."""
        qpos, qvel = recorded_states.split_rows(self._scene, self._task, state[None])
        poses = {n: (p[None], q[None]) for n, (p, q) in self.fixtures.items()}
        arrays = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float32), (qpos, qvel, poses)
        )
        self._state = self._restore(*arrays)
        return self._observe(self._state)

    def step(self, action: Iterable[float]) -> RealObservation:
        """Take one control step of 50 ms; `action` has 7 numbers."""
        if self._state is None:
            raise RuntimeError("There is no episode: reset first.")
        row = jnp.asarray([float(x) for x in action], jnp.float32)
        self._state = self._step(self._state, row[None])
        return self._observe(self._state)

    def _observe(self, state: EnvState) -> RealObservation:
        physics = state.physics
        qpos, qvel = recorded_states.from_scene(
            self._scene, self._task, physics.qpos, physics.qvel
        )
        bodies, row = self._scene.bodies, np.asarray(qpos[0], np.float64)
        arm = panda.NUM_JOINTS
        return RealObservation(
            qpos=row,
            qvel=np.asarray(qvel[0], np.float64),
            fixtures=self.fixtures,
            eef_position=np.asarray(physics.xpos[0, bodies[panda.EEF_BODY]], float),
            eef_quaternion=np.roll(
                np.asarray(physics.xquat[0, bodies[HAND_BODY]], float), -1
            ),
            fingers=row[arm : arm + 2],
            images=None,
            success=bool(state.success[0]),
        )
