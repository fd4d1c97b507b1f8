"""Scenes of several suites in one batch."""

from typing import Any

import jax
import jax.numpy as jnp

from omnivla_jax.train.spatial import scenes
from omnivla_jax.world.random_scenes import SceneRanges


def test_suites_share_a_batch_equally():
    def suite(number: int) -> Any:
        return lambda keys, ranges: (
            jnp.full(len(keys), number),
            jnp.full(len(keys), ranges.pool_share),
        )

    draws = [suite(number) for number in range(3)]
    draw: Any = scenes.mixed(draws, SceneRanges(pool_share=0.25))
    numbers, shares = draw(jax.random.split(jax.random.key(0), 8))
    assert numbers.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert shares.tolist() == [0.25] * 8
