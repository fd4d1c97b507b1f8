"""How a batch of images is drawn: one by one on a CPU, in blocks on an accelerator.

Axes: B images, K images of a block.
"""

import math
from typing import Any, Callable

import jax
import numpy as np

from omnivla_jax.core.types import PyTree


def in_blocks(
    draw: Callable[..., PyTree], *, images_at_once: int
) -> Callable[..., PyTree]:
    """`draw` of one image, with a rule of its own under `jax.vmap`.

    A CPU draws the images one after the other, so that one image's arrays stay close to
    the cache; several loops would not run at once on one device. An accelerator draws
    block after block, so that memory for intermediate arrays does not grow with the
    batch.

    Args:
      draw: a function of trees of arrays.
      images_at_once: of a block, K.

    Returns:
      A function of the same arguments.
    """
    mapped = jax.custom_batching.custom_vmap(draw)

    @mapped.def_vmap
    def batch(axis_size: int, in_batched: Any, *scene: Any) -> tuple[PyTree, PyTree]:
        leaves, tree = jax.tree.flatten(scene)
        flags = jax.tree.leaves(in_batched)
        batched = [leaf for leaf, flag in zip(leaves, flags) if flag]

        def merge(own: list[jax.Array]) -> PyTree:
            rest = iter(own)
            merged = [next(rest) if flag else leaf for leaf, flag in zip(leaves, flags)]
            return jax.tree.unflatten(tree, merged)

        if jax.default_backend() == "cpu":
            images = jax.lax.map(lambda own: mapped(*merge(own)), batched)
        else:
            axes = jax.tree.unflatten(tree, [0 if flag else None for flag in flags])
            block = jax.vmap(draw, in_axes=axes)
            count = min(images_at_once, axis_size)
            images = _block_by_block(
                lambda own: block(*merge(own)), batched, axis_size, count
            )
        return images, jax.tree.map(lambda _: True, images)

    return mapped


def _block_by_block(
    draw_block: Callable[[list[jax.Array]], PyTree],
    batched: list[jax.Array],
    count: int,
    size: int,
) -> PyTree:
    """Blocks of `size` images in one loop; the last repeats an image to be whole."""
    blocks = math.ceil(count / size)
    if blocks == 1:
        return draw_block(batched)
    whole = np.minimum(np.arange(blocks * size), count - 1)
    own = [leaf if blocks * size == count else leaf[whole] for leaf in batched]
    own = [leaf.reshape(blocks, size, *leaf.shape[1:]) for leaf in own]
    images = jax.lax.map(draw_block, own)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], images)
