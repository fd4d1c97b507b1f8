"""From recorded states to the videos of a few evaluation episodes.

Axes: T control steps, F frames, R episodes, V camera views, S image side.
"""

from pathlib import Path
from typing import Any, Sequence

import jax
import numpy as np

from experiments.reporting import video
from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import PyTree
from omnivla_jax.sim.scene import Scene
from omnivla_jax.world import observe, visual_scene

EVERY = 2  # control steps a frame
FPS = 10  # of a 20 Hz robot: every second step shows real time
LINGER = 8  # frames after the last success


def write(
    path: Path,
    scene: Scene,
    record: PyTree,
    instructions: Sequence[str],
    *,
    size: int,
    supersample: int,
) -> None:
    """Render states `record` [T, R, ...] and write them side by side as an mp4.

    Args:
      path: the file, written whole or not at all.
      scene: whose visuals are drawn.
      record: simulator states after every control step.
      instructions: R texts, as the policy heard them.
      size: image side S in pixels; supersample: rays per pixel along a side.
    """
    record = jax.tree.map(lambda leaf: np.asarray(leaf)[EVERY - 1 :: EVERY], record)
    success_at = _first_frame(record.success)
    record = jax.tree.map(lambda leaf: leaf[: _length(record.success)], record)
    draw = _painter(scene, size, supersample)
    frames = [
        np.asarray(draw(jax.tree.map(lambda leaf: leaf[frame], record.physics)))
        for frame in range(len(record.success))
    ]
    seen = np.stack(frames)  # [F, R, V, S, S, 3]
    pictures = video.compose(seen[:, :, 0], seen[:, :, 1], instructions, success_at)
    video.write_mp4(path, pictures, fps=FPS)


def _painter(scene: Scene, size: int, supersample: int) -> Any:
    visuals = visual_scene.make(scene)
    return compilation.jit(
        lambda physics: observe.images(
            visuals, physics, size=size, shadows=True, supersample=supersample
        ),
        fused=True,
    )


def _first_frame(success: np.ndarray) -> np.ndarray:
    """The frame in which each episode has succeeded, -1 for never: [F, R] -> [R]."""
    return np.where(success.any(axis=0), success.argmax(axis=0), -1)


def _length(success: np.ndarray) -> int:
    """Frames to show: all, or until shortly after the last episode succeeded."""
    first = _first_frame(success)
    if (first < 0).any():
        return len(success)
    return min(len(success), int(first.max()) + LINGER)
