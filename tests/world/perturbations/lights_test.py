"""Drawn lights: nominal without severity, bounded and all lamps alike with it."""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.render.types import DEFAULT_LIGHTS
from omnivla_jax.world.perturbations import lights

KEYS = jax.random.split(jax.random.key(0), 32)
ALL_KINDS = jnp.ones((len(KEYS), len(lights.KINDS)), bool)


draw = jax.jit(lights.draw)


def test_no_severity_gives_the_nominal_lights():
    drawn = lights.apply(DEFAULT_LIGHTS, draw(KEYS, ALL_KINDS, severity=0.0))
    drawn = drawn._replace(shadow=DEFAULT_LIGHTS.shadow)
    for nominal, leaf in zip(jax.tree.leaves(DEFAULT_LIGHTS), jax.tree.leaves(drawn)):
        np.testing.assert_array_equal(leaf, np.broadcast_to(nominal, leaf.shape))


def test_all_lamps_change_together():
    drawn = lights.apply(DEFAULT_LIGHTS, draw(KEYS, ALL_KINDS, severity=1.0))
    factor = np.asarray(drawn.diffuse) / DEFAULT_LIGHTS.diffuse
    np.testing.assert_allclose(factor[:, 0], factor[:, 1], rtol=1e-5)
    assert factor.min() > (1 - lights.BRIGHTNESS) * (1 - lights.TINT) - 1e-6
    assert factor.max() < (1 + lights.BRIGHTNESS) * (1 + lights.TINT) + 1e-6
    assert np.ptp(factor[:, 0], axis=0).min() > 0.3
    assert np.ptp(np.asarray(drawn.position)[:, :, 0], axis=0).min() > 0.5


def test_each_kind_changes_its_attribute_alone():
    fields = {"diffuse": ("brightness", "tint"), "direction": ("slope",)}
    fields |= {"specular": ("gloss",), "shadow": ("shadow",)}
    nominal = lights.no_change(len(KEYS))._asdict()
    for row, name in enumerate(lights.KINDS):
        active = jnp.tile(jnp.arange(len(lights.KINDS)) == row, (len(KEYS), 1))
        changed = draw(KEYS, active, severity=1.0)._asdict()
        for field, leaf in changed.items():
            differs = np.asarray(leaf != nominal[field]).any()
            assert differs == (field in fields[name]), (name, field)
