"""Drawn materials: nominal without severity, valid and varied with it."""

import jax
import numpy as np

from omnivla_jax.render.types import TEXTURES, Material, make_materials
from omnivla_jax.world.perturbations import materials

NOMINAL = make_materials(
    [Material((0.5, 0.2, 0.9)), Material((0.1, 0.1, 0.1), texture="label", scale=0.2)]
)
KEYS = jax.random.split(jax.random.key(0), 400)


def test_no_severity_gives_the_nominal_materials():
    drawn = materials.draw(KEYS, NOMINAL, severity=0.0)
    for nominal, leaf in zip(NOMINAL, drawn):
        np.testing.assert_array_equal(leaf, np.broadcast_to(nominal, leaf.shape))


def test_draws_are_colours_and_known_textures():
    drawn = jax.jit(materials.draw)(KEYS, NOMINAL)
    assert drawn.rgb.shape == (400, 2, 3)
    assert 0 <= drawn.rgb.min() and drawn.rgb.max() <= 1
    swapped = np.asarray(drawn.texture[:, 1]) != TEXTURES.index("label")
    assert abs(swapped.mean() - materials.SWAP_SHARE) < 0.1
    allowed = {TEXTURES.index(name) for name in materials.SWAPPED_TEXTURES}
    assert set(np.asarray(drawn.texture[:, 1])[swapped]) <= allowed
    ratio = np.asarray(drawn.scale[:, 1]) / 0.2
    assert ratio.min() >= materials.SCALES[0] - 1e-6
    assert ratio.max() <= materials.SCALES[1] + 1e-6
