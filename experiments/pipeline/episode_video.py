"""Renders recorded simulator states of a few episodes to one video.

Axes: T control steps, F frames, R episodes, V camera views, S image side.
"""

from pathlib import Path
from typing import Sequence

import jax
import numpy as np

from experiments.reporting import video
from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import PyTree
from omnivla_jax.sim.state import EnvState, Scene
from omnivla_jax.world import observe, visual_scene
from omnivla_jax.world.perturbations import images as noises
from omnivla_jax.world.perturbations import perturbation
from omnivla_jax.world.visual_scene import VisualScene

STEPS_PER_FRAME = 2  # control steps
FPS = 10  # with a 20 Hz robot and two steps a frame: real time
TAIL_FRAMES = 8  # after the last success


def draw_state(
    scene: Scene, visuals: VisualScene, state: EnvState, *, size: int, supersample: int
) -> jax.Array:
    """What people are shown of R episodes, under their perturbations.

    Returns:
      uint8 [R, V, S, S, 3]; shadows are those of the perturbation, or else all.
    """
    change, options = state.perturbation, {"size": size, "supersample": supersample}
    if change is None:
        return observe.images(visuals, state.physics, shadows=True, **options)
    varied = perturbation.looks(scene, visuals, change)
    images = observe.images(varied, state.physics, **options)
    noise = noises.of_frame(change.noise, state.steps)
    return observe.corrupt_images(images, noise)


def write(
    path: Path,
    scene: Scene,
    states: PyTree,
    captions: Sequence[str],
    *,
    size: int,
    supersample: int,
) -> None:
    """Render episodes side by side as an mp4.

    Args:
      path: the file, written whole or not at all.
      scene: rendered with its visuals.
      states: simulator states [1 + T, R, ...], at first and after every control step.
      captions: R texts, such as the instruction that the policy got.
      size: image side S in pixels.
      supersample: rays per pixel along a side.
    """
    states = jax.tree.map(
        lambda leaf: np.asarray(leaf)[STEPS_PER_FRAME::STEPS_PER_FRAME], states
    )
    success = states.success  # [F, R]
    success_frame = np.where(success.any(axis=0), success.argmax(axis=0), -1)
    num_frames = len(success)
    if (success_frame >= 0).all():
        num_frames = min(num_frames, int(success_frame.max()) + TAIL_FRAMES)
    visuals = visual_scene.make(scene)
    draw = compilation.jit(
        lambda state: draw_state(
            scene, visuals, state, size=size, supersample=supersample
        ),
        fused=True,
    )
    images = np.stack(
        [
            np.asarray(draw(jax.tree.map(lambda leaf: leaf[frame], states)))
            for frame in range(num_frames)
        ]
    )  # [F, R, V, S, S, 3]
    frames = video.compose(images[:, :, 0], images[:, :, 1], captions, success_frame)
    video.write_mp4(path, frames, fps=FPS)
