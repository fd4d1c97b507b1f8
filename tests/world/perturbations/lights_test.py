"""Drawn lights: nominal without severity, bounded and all lamps alike with it."""

import jax
import numpy as np

from omnivla_jax.render.types import DEFAULT_LIGHTS
from omnivla_jax.world.perturbations import lights

KEYS = jax.random.split(jax.random.key(0), 32)


def test_no_severity_gives_the_nominal_lights():
    drawn = lights.draw(KEYS, DEFAULT_LIGHTS, severity=0.0)
    for nominal, leaf in zip(DEFAULT_LIGHTS, drawn):
        np.testing.assert_array_equal(leaf, np.broadcast_to(nominal, leaf.shape))


def test_all_lamps_change_together():
    drawn = jax.jit(lights.draw)(KEYS, DEFAULT_LIGHTS)
    factor = np.asarray(drawn.diffuse) / DEFAULT_LIGHTS.diffuse
    np.testing.assert_allclose(factor[:, 0], factor[:, 1], rtol=1e-5)
    low, high = lights.BRIGHTNESS
    assert factor.min() > low * (1 - lights.TINT) - 1e-6
    assert factor.max() < high * (1 + lights.TINT) + 1e-6
    assert np.ptp(factor[:, 0], axis=0).min() > 0.3
    assert np.ptp(np.asarray(drawn.position)[:, :, 0], axis=0).min() > 0.5
