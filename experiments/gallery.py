"""Contact sheets: every task of a suite through both cameras.

Run: `python -m experiments.gallery --workdir=runs/gallery [--suites=libero_goal]`.
Writes one PNG per suite: a column per task and camera; from above colour, depth,
normals and segmentation.
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
from omnivla_jax.world import observe
from omnivla_jax.world import visual_scene as looks

BENCHMARK = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
_WORKDIR = flags.DEFINE_string("workdir", "runs/gallery", "Where the sheets go.")
_SUITES = flags.DEFINE_list("suites", list(BENCHMARK), "Which suites.")
_SIZE = flags.DEFINE_integer("size", 192, "Side of one picture, pixels.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the layouts.")


def draw(suite: str, size: int, seed: int) -> Image:
    """A fresh episode of every task through both cameras: leaves [T, V, S, S, ...]."""
    scene = scenes.make(suite, engine="mujoco")
    look, tasks = looks.look(scene), len(scene.suite.tasks)

    def run(key: jax.Array) -> Image:
        keys = jax.random.split(key, tasks)
        physics = env.reset(scene, jnp.arange(tasks), keys).physics
        options: dict[str, Any] = {"shadows": True, "supersample": 2}
        return observe.render_images(
            look, physics, size=size, outputs=OUTPUTS, **options
        )

    drawn = compilation.jit(run, fused=True)(jax.random.key(seed))
    return jax.tree.map(np.asarray, drawn)


def sheet(image: Image) -> np.ndarray:
    """uint8 [4 S, T V S, 3]: the columns of all tasks side by side."""
    tasks = [Image(*(leaf[task] for leaf in image)) for task in range(len(image.rgb))]
    return np.concatenate([columns(task) for task in tasks], axis=1)


def columns(image: Image) -> np.ndarray:
    """uint8 [4 S, V S, 3] of one task: a column per camera; see the module."""
    near = image.depth / np.maximum(image.depth.max((1, 2), keepdims=True), 1e-6)
    grey = np.repeat((255 * (1 - 0.9 * near)).astype(np.uint8)[..., None], 3, axis=-1)
    turned = (127.5 * (image.normal + 1)).astype(np.uint8)
    palette = np.random.default_rng(0).integers(40, 256, (4096, 3)).astype(np.uint8)
    rows = (image.rgb, grey, turned, palette[image.segmentation % len(palette)])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def main(argv: Sequence[str]) -> None:
    """Draw the sheets."""
    del argv
    folder = Path(_WORKDIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    for suite in _SUITES.value:
        drawn = sheet(draw(suite, _SIZE.value, _SEED.value))
        Picture.fromarray(drawn).save(folder / f"{suite}.png")
        print(folder / f"{suite}.png")


if __name__ == "__main__":
    app.run(main)
