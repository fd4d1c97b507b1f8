"""Draws contact sheets: every task of a suite through both cameras.

Run: `python -m experiments.contact_sheet --workdir=runs/contact_sheet
[--suites=libero_goal]`. Writes one PNG per suite: a column per task and camera; from
above colour, depth, normals and segmentation.

Axes: T tasks, V camera views, S image side.
"""

from pathlib import Path
from typing import Any, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from PIL import Image as Picture

from omnivla_jax.core import compile as compilation
from omnivla_jax.render.types import OUTPUTS, Image
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.world import observe, visual_scene

BENCHMARK = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
_WORKDIR = flags.DEFINE_string("workdir", "runs/contact_sheet", "Folder of the sheets.")
_SUITES = flags.DEFINE_list("suites", list(BENCHMARK), "Suites to draw.")
_SIZE = flags.DEFINE_integer("size", 192, "Image side in pixels.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the layouts.")


def render_suite(suite: str, size: int, seed: int) -> Image:
    """Render a fresh episode of every task through both cameras.

    Args:
      suite: name of the suite.
      size: S.
      seed: of the layouts.

    Returns:
      Leaves [T, V, S, S, ...].
    """
    scene = scenes.make(suite, engine="mujoco")
    visuals, num_tasks = visual_scene.make(scene), len(scene.suite.tasks)

    def render(key: jax.Array) -> Image:
        keys = jax.random.split(key, num_tasks)
        physics = env.reset(scene, jnp.arange(num_tasks), keys).physics
        options: dict[str, Any] = {"shadows": True, "supersample": 2}
        return observe.render_images(
            visuals, physics, size=size, outputs=OUTPUTS, **options
        )

    images = compilation.jit(render, fused=True)(jax.random.key(seed))
    return jax.tree.map(np.asarray, images)


def contact_sheet(image: Image) -> np.ndarray:
    """Lay images side by side.

    Args:
      image: leaves [T, V, S, S, ...].

    Returns:
      uint8 [4 S, T V S, 3]; see the module.
    """
    farthest = image.depth.max((2, 3), keepdims=True)
    depth = image.depth / np.maximum(farthest, 1e-6)
    grey = np.repeat((255 * (1 - 0.9 * depth)).astype(np.uint8)[..., None], 3, axis=-1)
    normals = (127.5 * (image.normal + 1)).astype(np.uint8)
    palette = np.random.default_rng(0).integers(40, 256, (4096, 3)).astype(np.uint8)
    colors = palette[image.segmentation % len(palette)]
    rows = np.stack([image.rgb, grey, normals, colors])  # [4, T, V, S, S, 3]
    size = rows.shape[3]
    return rows.transpose(0, 3, 1, 2, 4, 5).reshape(len(rows) * size, -1, 3)


def main(argv: Sequence[str]) -> None:
    """Draw the sheets."""
    del argv
    folder = Path(_WORKDIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    for suite in _SUITES.value:
        sheet = contact_sheet(render_suite(suite, _SIZE.value, _SEED.value))
        path = folder / f"{suite}.png"
        Picture.fromarray(sheet).save(path)
        print(path)


if __name__ == "__main__":
    app.run(main)
