"""Evaluates a policy in the real LIBERO as openpi's `examples/libero/main.py` does.

Axes: H actions of a chunk, V views (agent view, wrist view), S image side.
"""

from typing import Any, Callable, Iterable, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from experiments.real_libero.remote import RealObservation
from omnivla_jax.core import picture_size
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.sim import env, rotation
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world import observe, visual_scene

WAIT_STEPS = 10  # control steps until everything has come to rest
WAIT_ACTION = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
REPLAN_STEPS = 5  # actions of a chunk that are executed
SEED = 7  # of LIBERO's environment, set once a task

# From a request of openpi's protocol to its actions [H, 7].
InferFn = Callable[[dict[str, Any]], np.ndarray]
# From an observation to pictures uint8 [V, S, S, 3] in openpi's orientation.
PicturesFn = Callable[[RealObservation], np.ndarray]


class Simulator(Protocol):
    """What episodes are played in, such as `remote.RealLibero`."""

    def reset(self, state: np.ndarray) -> RealObservation:
        """Start an episode at a recorded state float64 [1 + nq + nv], time first."""

    def step(self, action: Iterable[float]) -> RealObservation:
        """Take one control step of 50 ms."""


class EpisodeResult(NamedTuple):
    """One episode of a task."""

    success: bool
    steps: int  # control steps of the policy


def run_episode(
    simulator: Simulator,
    state: np.ndarray,
    prompt: str,
    infer: InferFn,
    pictures: PicturesFn,
    *,
    max_steps: int,
    replan_steps: int = REPLAN_STEPS,
) -> EpisodeResult:
    """Run one episode: wait, then replan every few steps until success or the limit.

    Args:
      simulator: opened on the task.
      state: float64 [1 + nq + nv], a recorded initial state.
      prompt: the instruction.
      infer: the policy.
      pictures: of an observation.
      max_steps: of the policy, control steps.
      replan_steps: actions of a chunk to execute.

    Raises:
      ValueError: a chunk has fewer actions than `replan_steps`, or not 7 dimensions.
    """
    observation = simulator.reset(state)
    for _ in range(WAIT_STEPS):
        observation = simulator.step(WAIT_ACTION)
    plan: list[np.ndarray] = []
    for step in range(max_steps):
        if not plan:
            chunk = infer(request(observation, pictures(observation), prompt))
            if chunk.ndim != 2 or chunk.shape[1] != 7 or len(chunk) < replan_steps:
                raise ValueError(
                    f"The policy answered actions of shape {list(chunk.shape)}: "
                    f"expected [{replan_steps} or more, 7] (see --replan_steps)."
                )
            plan = list(chunk[:replan_steps])
        observation = simulator.step(plan.pop(0))
        if observation.success:
            return EpisodeResult(True, step + 1)
    return EpisodeResult(False, max_steps)


def request(
    observation: RealObservation, images: np.ndarray, prompt: str
) -> dict[str, Any]:
    """What openpi's LIBERO client sends; images uint8 [2, S, S, 3]."""
    return {
        "observation/image": images[0],
        "observation/wrist_image": images[1],
        "observation/state": proprio(observation).astype(np.float32),
        "prompt": prompt,
    }


def proprio(observation: RealObservation) -> np.ndarray:
    """The state that policies take, float64 [8]: grip site, axis-angle, fingers."""
    wxyz = np.roll(observation.eef_quaternion, 1)
    turn = rotation.to_axis_angle(wxyz, np)
    return np.concatenate([observation.eef_position, turn, observation.fingers])


def make_renderer(scene: Scene, task: int, *, size: int) -> PicturesFn:
    """Draw the real simulator's states by our renderer, in openpi's orientation.

    Args:
      scene: holds `task`.
      task: its row of the suite.
      size: S, pixels.
    """
    visuals = visual_scene.make(scene)
    row = jnp.full(1, task, jnp.int32)

    @jax.jit
    def draw(qpos: jax.Array, qvel: jax.Array, fixtures: Any) -> jax.Array:
        state = env.restore(scene, row, qpos, qvel, fixtures=fixtures)
        return observe.images(visuals, state.physics, size=size)[0]

    def pictures(observation: RealObservation) -> np.ndarray:
        qpos, qvel, fixtures = jax.tree.map(
            lambda value: jnp.asarray(value, jnp.float32)[None],
            (observation.qpos, observation.qvel, observation.fixtures),
        )
        upright = np.asarray(draw(qpos, qvel, fixtures))
        return convert_image_convention(upright, "openpi")

    return pictures


def make_client_pictures(render: Callable[[], np.ndarray], size: int) -> PicturesFn:
    """Send LIBERO's own pictures as openpi's client does: turned, then resized.

    Args:
      render: returns LIBERO's pictures of now, as `RealLibero.render`.
      size: of the pictures that are sent, pixels.
    """

    def pictures(observation: RealObservation) -> np.ndarray:
        del observation  # it was made before anybody had to look
        upright = convert_image_convention(render(), "libero")
        turned = convert_image_convention(upright, "openpi")
        return np.stack([picture_size.fit(x, (size, size)) for x in turned])

    return pictures
