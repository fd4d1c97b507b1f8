"""Light on a surface: unit vectors and the tone curve."""

import jax.numpy as jnp
import numpy as np

from omnivla_jax.render import arithmetic, shading


def test_unit_vectors_and_zero():
    rows = jnp.array([[3.0, 0], [0.0, 0], [4.0, 0]])
    x, y, z = arithmetic.unit((rows[0], rows[1], rows[2]))
    np.testing.assert_allclose([x[0], y[0], z[0]], [0.6, 0, 0.8], rtol=1e-6)
    np.testing.assert_array_equal([x[1], y[1], z[1]], 0)


def test_tone_curve_is_identity_then_rises_below_1():
    x = jnp.linspace(0, 4, 200)
    y = np.asarray(shading.tone_curve(x))
    np.testing.assert_allclose(y[x < 0.75], x[x < 0.75])
    assert (np.diff(y) > 0).all() and y.max() < 1
