"""Noise of the camera: numbers by kind and severity, another frame another noise."""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.world.perturbations import images

KEYS = jax.random.split(jax.random.key(0), 10)


def test_a_tenth_of_severity_is_one_of_ten():
    for kind in range(5):
        active = jnp.tile(jnp.arange(5) == kind, (10, 1))
        severity = jnp.arange(1, 11) / 10
        drawn = images.draw(KEYS, active, severity=severity)
        np.testing.assert_array_equal(drawn.number, 10 * kind + np.arange(1, 11))
        assert not images.draw(KEYS, active, severity=0.0).number.any()
    assert not images.draw(KEYS, jnp.zeros((10, 5), bool)).number.any()


def test_frames_and_episodes_have_their_own_noise():
    drawn = images.draw(KEYS, jnp.ones((10, 5), bool))
    frames = [images.of_frame(drawn, jnp.full(10, step)) for step in (0, 1, 0)]
    first, second, again = (np.asarray(jax.random.key_data(f.key)) for f in frames)
    assert len({tuple(row) for row in np.concatenate([first, second])}) == 20
    np.testing.assert_array_equal(first, again)
