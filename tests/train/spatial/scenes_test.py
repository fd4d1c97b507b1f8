"""Scenes of several suites in one batch."""

import jax
import jax.numpy as jnp

from omnivla_jax.train.spatial import scenes
from omnivla_jax.world.random_scenes import SceneRanges


def test_suites_share_a_batch_equally():
    draws = [
        lambda keys, ranges, number=number: {
            "suite": jnp.full(len(keys), number),
            "share": jnp.full(len(keys), ranges.pool_share),
        }
        for number in range(3)
    ]
    draw = scenes.mixed(draws, SceneRanges(pool_share=0.25))
    batch = draw(jax.random.split(jax.random.key(0), 8))
    assert batch["suite"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert (batch["share"] == 0.25).all()
