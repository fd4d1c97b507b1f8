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
from omnivla_jax.sim.state import Scene
from omnivla_jax.world import visual_scene
from omnivla_jax.world.perturbations import perturbation

STEPS_PER_FRAME = 2  # control steps
FPS = 10  # with a 20 Hz robot and two steps a frame: real time
TAIL_FRAMES = 8  # after the last success


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
        lambda state: perturbation.pictures(
            scene,
            visuals,
            state,
            size=size,
            shadows=state.perturbation is None,  # else those that it asks for
            supersample=supersample,
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
