"""Layouts: distractors by severity, regions that move within their disc."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.resets import region_sampler
from omnivla_jax.world.perturbations import layout

COUNT = 60
KEYS = jax.random.split(jax.random.key(0), COUNT)


@pytest.fixture(scope="module")
def crowded():
    return scenes.make(
        "libero_object", tasks=(0,), engine="mujoco", extras=layout.DISTRACTORS
    )


draw_rows = jax.jit(layout.draw, static_argnums=0, static_argnames="split")


def draw(scene, active, severity=1.0, split="all"):
    rows = jnp.tile(jnp.array(active), (COUNT, 1))
    return draw_rows(scene, KEYS, rows, severity=severity, split=split)


def test_severity_counts_the_distractors(crowded):
    for severity, count in ((0.0, 0), (0.2, 1), (0.5, 3), (1.0, 5)):
        drawn = draw(crowded, [True, False], severity=severity)
        assert (drawn.change.extras.sum(axis=1) == count).all()
        assert not drawn.change.objects.any() and not drawn.change.fixtures.any()
    assert not draw(crowded, [False, True]).change.extras.any()


def test_categories_are_those_of_the_split(crowded):
    groups = list(layout.DISTRACTORS.values())
    assert sum(map(len, groups)) == 13 and len(groups) == layout.MAX_DISTRACTORS
    training, held_out = (
        np.asarray(draw(crowded, [True, False], split=split).category)
        for split in ("training", "held_out")
    )
    for slot, group in enumerate(groups):
        seen = set(training[:, slot]), set(held_out[:, slot])
        assert seen[0] | seen[1] == set(range(len(group)))
        assert not seen[0] & seen[1] or len(group) == 1


def test_regions_move_by_at_most_level_five(crowded):
    drawn = draw(crowded, [False, True]).change.objects
    distance = np.linalg.norm(drawn, axis=-1)
    assert 0.14 < distance.max() <= 0.15
    assert abs(distance.mean() - 0.1) < 0.01  # uniform in a disc
    half = np.linalg.norm(draw(crowded, [False, True], severity=0.5).change.objects)
    np.testing.assert_allclose(half, 0.5 * np.linalg.norm(drawn), rtol=1e-5)


def test_objects_start_where_their_layout_says(crowded):
    task = jnp.zeros(COUNT, jnp.int32)
    sample = compilation.jit(
        lambda change: region_sampler.sample(crowded, task, KEYS, change)
    )
    nothing = layout.no_change(crowded, COUNT).change
    plain = sample(nothing)
    moved = sample(nothing._replace(objects=nothing.objects.at[:, 0, 0].set(0.02)))
    assert not plain.failures.any() and not moved.failures.any()
    names = tuple(crowded.assets.objects)
    start = crowded.joints[f"{names[0]}_joint0"][0]
    shift = (moved.qpos - plain.qpos)[:, start]
    assert abs(float(jnp.median(shift)) - 0.02) < 1e-6
    extras = [crowded.joints[f"{name}_joint0"][0] for name in crowded.extras]
    assert (plain.qpos[:, jnp.array(extras)] > 15).all()  # parked
    added = sample(nothing._replace(extras=nothing.extras.at[:, -5:].set(True)))
    place = np.asarray(added.qpos)[:, np.array(extras)[:, None] + np.arange(2)]
    stands = place[..., 0] < 15
    assert stands.mean() > 0.95 and not added.failures.any()
    low, high = [-0.3, -0.25], [0.3, 0.25]
    assert (place[stands] >= low).all() and (place[stands] <= high).all()
