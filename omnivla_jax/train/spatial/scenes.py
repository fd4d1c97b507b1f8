"""The project's own simulator as the source of stage I's scenes."""

from typing import Callable, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import GeometryBatch, Observation
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.sim.state import Scene
from omnivla_jax.train import environment
from omnivla_jax.train.spatial.step import DrawScenes
from omnivla_jax.world import geometry, random_scenes, visual_scene
from omnivla_jax.world.random_scenes import SceneRanges, StatePool

DrawSuite = Callable[[jax.Array, SceneRanges], GeometryBatch]


def make_draw(
    scene: Scene,
    config: PolicyConfig,
    *,
    size: int,
    pool: StatePool | None,
    split: str = "all",
) -> DrawSuite:
    """A function that draws and renders random scenes of a suite.

    Args:
      scene: the static tables; every task that it holds is drawn, with its
        instruction.
      config: of the policy, whose tokenizer is used.
      size: pixels a side of the images.
      pool: of the expert's states; None: fresh layouts alone.
      split: of `random_scenes.draw`.

    Returns:
      (keys [B], how far scenes go) -> B scenes; `proprio` is 0, as the prefix does not
      read it.
    """
    visuals = visual_scene.make(scene)
    texts = [task.instruction for task in scene.tasks]
    table = environment.instructions(texts, config)

    def draw(keys: jax.Array, ranges: SceneRanges) -> GeometryBatch:
        task, physics, perturbed = random_scenes.draw(
            scene, visuals, pool, keys, ranges=ranges, split=split
        )
        images, truth, valid = geometry.images_and_geometry(
            perturbed, physics, size=size
        )
        tokens, mask = environment.instruction_tokens(table, task)
        proprio = jnp.zeros((len(keys), config.proprio_dim))
        return GeometryBatch(Observation(images, tokens, mask, proprio), truth, valid)

    return draw


def mixed(draws: Sequence[DrawSuite], ranges: SceneRanges) -> DrawScenes:
    """Draw an equal share of every batch from each of several suites.

    Args:
      draws: one a suite, of pictures of one size.
      ranges: how far scenes go.

    Returns:
      keys [B] -> B scenes; the first suites get one more where B does not divide.
    """

    def draw(keys: jax.Array) -> GeometryBatch:
        parts = [
            source(keys[i :: len(draws)], ranges) for i, source in enumerate(draws)
        ]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)

    return draw
