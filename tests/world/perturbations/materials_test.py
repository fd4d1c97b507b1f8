"""Drawn materials: nominal without severity, valid and varied with it."""

import jax
import numpy as np

from omnivla_jax.render.types import TEXTURES, Material, make_materials
from omnivla_jax.world.perturbations import materials

NOMINAL = make_materials(
    [Material((0.5, 0.2, 0.9)), Material((0.1, 0.1, 0.1), texture="label", scale=0.2)]
)
KEYS = jax.random.split(jax.random.key(0), 400)
draw = jax.jit(materials.draw, static_argnames="split")


def test_no_severity_gives_the_nominal_materials():
    drawn = draw(KEYS, NOMINAL, severity=0.0, split="all")
    for nominal, leaf in zip(NOMINAL, drawn):
        np.testing.assert_array_equal(leaf, np.broadcast_to(nominal, leaf.shape))


def test_training_and_held_out_share_no_value():
    drawn = {
        split: draw(KEYS, NOMINAL, severity=1.0, split=split)
        for split in ("training", "held_out")
    }
    textures, shifts, sizes = [], [], []
    for part in drawn.values():
        changed = np.asarray(part.texture[:, 1])
        textures.append(set(changed[changed != TEXTURES.index("label")]))
        shift = (np.asarray(part.rgb[:, 0, 0]) - 0.5) / materials.TINT
        shifts.append(set(np.floor((shift + 1) * 3)))
        octaves = np.log2(np.asarray(part.scale[:, 1]) / 0.2)
        sizes.append(set(np.floor((octaves + 1) * 3)))
    for training, held_out in (textures, shifts, sizes):
        assert len(training) > len(held_out) > 0 and not training & held_out


def test_draws_are_colours_and_known_textures():
    drawn = draw(KEYS, NOMINAL, severity=1.0, split="all")
    assert drawn.rgb.shape == (400, 2, 3)
    assert 0 <= drawn.rgb.min() and drawn.rgb.max() <= 1
    swapped = np.asarray(drawn.texture[:, 1]) != TEXTURES.index("label")
    assert abs(swapped.mean() - materials.SWAP_SHARE) < 0.1
    allowed = {TEXTURES.index(name) for name in materials.SWAPPED_TEXTURES}
    assert set(np.asarray(drawn.texture[:, 1])[swapped]) <= allowed
    ratio = np.asarray(drawn.scale[:, 1]) / 0.2
    assert 0.5 <= ratio.min() and ratio.max() <= 2
