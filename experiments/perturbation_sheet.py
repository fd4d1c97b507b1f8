"""Draws contact sheets of LIBERO-Plus' dimensions: every kind, and every surface.

Run: `python -m experiments.perturbation_sheet --workdir=runs/perturbation_sheet
[--suite=libero_goal] [--task=1] [--severity=1]`. Writes kinds.jpg, the agent's view of
one episode under each kind, and surfaces.jpg, all tables and walls.

Axes: N pictures, S image side.
"""

from pathlib import Path
from typing import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.state import Scene
from omnivla_jax.world import visual_scene
from omnivla_jax.world.perturbations import kinds, layout, perturbation, surfaces
from omnivla_jax.world.perturbations.perturbation import Perturbation

COLUMNS = 8
LABEL_HEIGHT = 14  # pixels
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/perturbation_sheet", "Folder of the sheets."
)
_SUITE = flags.DEFINE_string("suite", "libero_goal", "Of the episode.")
_TASK = flags.DEFINE_integer("task", 1, "Row of the suite.")
_SEVERITY = flags.DEFINE_float("severity", 1.0, "From 0 to 1.")
_SIZE = flags.DEFINE_integer("size", 160, "Image side in pixels.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the layout and the draws.")


def draw_kinds(scene: Scene, count: int) -> tuple[Perturbation, list[str]]:
    """No change, then each kind, and further surfaces up to `count` pictures."""
    surface = kinds.KINDS.index("background.surface")
    rows = [kinds.NO_KIND, *range(len(kinds.KINDS))]
    rows += [surface] * (count - len(rows))
    names = [
        "none",
        *kinds.KINDS,
        *(["background.surface"] * (count - len(kinds.KINDS))),
    ]
    keys = jax.random.split(jax.random.key(_SEED.value), count)
    active = kinds.one_hot(jnp.array(rows))
    change = perturbation.draw(scene, keys, active, _SEVERITY.value)
    return change, names[:count]


def draw_surfaces(scene: Scene) -> tuple[Perturbation, list[str]]:
    """Every table, then every wall."""
    tables, walls = list(surfaces.WORKSPACES), list(surfaces.WALLS)
    count = len(tables) + len(walls)
    own = [surfaces.NOT_CHANGED]
    change = surfaces.no_change(count)._replace(
        workspace=jnp.array([*range(len(tables)), *own * len(walls)]),
        wall=jnp.array([*own * len(tables), *range(len(walls))]),
    )
    names = [*tables, *(f"wall {name}" for name in walls)]
    return perturbation.no_change(scene, count)._replace(surfaces=change), names


def render(scene: Scene, change: Perturbation) -> np.ndarray:
    """The agent's view of one episode under N perturbations, uint8 [N, S, S, 3]."""
    count, visuals = len(change.phrase), visual_scene.make(scene)
    task = jnp.full(count, _TASK.value)

    def pictures(key: jax.Array, change: Perturbation) -> jax.Array:
        keys = jnp.broadcast_to(key, (count,))  # the same episode
        placed = env.place(scene, task, keys, change.layout.change)
        state = perturbation.begin(scene, placed, change)
        return perturbation.pictures(
            scene, visuals, state, size=_SIZE.value, supersample=2
        )[:, 0]

    program = compilation.jit(pictures, fused=True)
    return np.asarray(program(jax.random.key(_SEED.value + 1), change))


def sheet(pictures: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Pictures in rows of COLUMNS, each above its name."""
    side = pictures.shape[1]
    rows = -(-len(pictures) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * side, rows * (side + LABEL_HEIGHT)), "white")
    pen = ImageDraw.Draw(whole)
    for number, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        row, column = divmod(number, COLUMNS)
        corner = column * side, row * (side + LABEL_HEIGHT)
        whole.paste(Image.fromarray(picture), corner)
        pen.text((corner[0] + 3, corner[1] + side), name, fill="black")
    return whole


def main(argv: Sequence[str]) -> None:
    """Draw the sheets."""
    del argv
    folder = Path(_WORKDIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    scene = scenes.make(
        _SUITE.value,
        tasks=(_TASK.value,),
        engine="mujoco",
        extras=tuple(layout.DISTRACTORS),
    )
    whole = -(-(1 + len(kinds.KINDS)) // COLUMNS) * COLUMNS
    for name, drawn in (
        ("kinds", draw_kinds(scene, whole)),
        ("surfaces", draw_surfaces(scene)),
    ):
        path = folder / f"{name}.jpg"
        sheet(render(scene, drawn[0]), drawn[1]).save(path, quality=85)
        print(path)


if __name__ == "__main__":
    app.run(main)
