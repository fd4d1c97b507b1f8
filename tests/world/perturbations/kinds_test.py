"""Kinds by name, and ranges of which a third is held out."""

import jax
import numpy as np
import pytest

from omnivla_jax.world.perturbations import kinds


def test_names_stand_for_their_kinds():
    assert kinds.rows(["all"]) == tuple(range(len(kinds.KINDS)))
    camera = kinds.rows(["camera"])
    assert [kinds.KINDS[row] for row in camera] == [
        *("camera.azimuth", "camera.elevation"),
        *("camera.distance", "camera.orientation"),
    ]
    both = kinds.rows(["light.shadow", "camera", "camera.azimuth"])
    assert both == (*camera, kinds.KINDS.index("light.shadow"))


@pytest.mark.parametrize("names", [["colour"], ["camera.roll"], []])
def test_other_names_are_refused(names):
    with pytest.raises(ValueError, match="write"):
        kinds.rows(names)


@pytest.mark.parametrize("count, width", [(75, 15), (5, 1), (39, 1), (3, 1)])
def test_splits_divide_the_values(count, width):
    training, held_out = (
        set(kinds.allowed(count, split, width=width))
        for split in ("training", "held_out")
    )
    assert training | held_out == set(kinds.allowed(count, "all", width=width))
    assert not training & held_out
    assert 0.2 * count <= len(held_out) <= 0.5 * count


def test_numbers_fill_the_intervals_of_their_split():
    keys = jax.random.split(jax.random.key(0), 3000)
    for split, share in (("all", 1.0), ("training", 2 / 3), ("held_out", 1 / 3)):
        drawn = np.asarray(jax.vmap(lambda key: kinds.uniform(key, split))(keys))
        interval = np.floor(6 * drawn).astype(int)
        assert set(interval) == set(kinds.allowed(6, split))
        assert 0 <= drawn.min() and drawn.max() < 1
        assert np.bincount(interval).max() < 1.3 * len(keys) / (6 * share)


def test_no_limit_mixes_sizes_of_the_splits():
    keys = jax.random.split(jax.random.key(1), 2000)
    limits = np.linspace(0.0, 1.0, len(keys), dtype=np.float32)
    for split, thirds in (("all", {0, 1, 2}), ("training", {0, 2}), ("held_out", {1})):
        draw = jax.vmap(lambda key, limit: kinds.signed(key, split, limit))
        drawn = np.asarray(draw(keys, limits))
        assert drawn[0] == 0 and drawn.min() < -0.6 and drawn.max() > 0.6
        assert set(np.floor(3 * abs(drawn[1:]))) == thirds
        smallest = 1 / 3 if split == "held_out" else 0.0
        assert (abs(drawn[1:]) <= np.maximum(limits[1:], smallest + 1e-6)).all()
