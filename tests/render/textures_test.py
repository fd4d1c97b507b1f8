"""Texture weights stay in range and repeat as documented."""

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.render import textures, types

U, V, W = jnp.asarray(np.random.default_rng(0).uniform(-3, 3, (3, 1000)), jnp.float32)


@pytest.mark.parametrize("name", types.TEXTURES)
def test_weights_are_in_range_and_selected_by_index(name):
    wanted = textures.texture_weight(name, U, V, W)
    assert wanted.min() >= 0 and wanted.max() <= 1
    kind = jnp.full(U.shape, types.TEXTURES.index(name))
    np.testing.assert_array_equal(textures.second_color_weight(kind, U, V, W), wanted)


def test_the_wave_is_nearly_a_sine():
    x = jnp.linspace(-2, 2, 401)
    np.testing.assert_allclose(textures.wave(x), jnp.sin(2 * np.pi * x), atol=0.06)


def test_checkers_alternate():
    u = jnp.array([0.25, 0.75, 1.25])
    np.testing.assert_array_equal(
        textures.texture_weight("checker", u, u * 0 + 0.25, u), [1, 0, 1]
    )
