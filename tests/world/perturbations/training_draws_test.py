"""Training draws: equal dimensions, severities below a limit that follows success."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.world.perturbations import camera, kinds, training_draws
from omnivla_jax.world.perturbations.training_draws import PerturbConfig

COUNT = 1000


def test_dimensions_are_equally_frequent(scene):
    config = PerturbConfig(("camera", "robot", "noise"), share=0.5)
    keys = jax.random.split(jax.random.key(0), COUNT)
    drawn = jax.jit(
        lambda keys, limit: training_draws.draw(scene, keys, limit, config=config)
    )
    change = drawn(keys, jnp.full(COUNT, 0.5))
    shares = [
        np.mean(np.asarray(changes))
        for changes in (
            camera.is_shifted(change.camera),
            change.robot.arm.any(axis=1),
            change.noise.number > 0,
        )
    ]
    np.testing.assert_allclose(shares, 0.5 / 3, atol=0.04)
    assert float(jnp.linalg.norm(change.robot.arm, axis=1).max()) <= 0.25
    assert not change.phrase.any() and not change.layout.change.extras.any()
    fewer = drawn(keys[:7], jnp.full(7, 0.5))  # an episode's draw is its key's alone
    for one, other in zip(jax.tree.leaves(change), jax.tree.leaves(fewer)):
        np.testing.assert_array_equal(one[:7], other)


def test_the_limit_follows_success():
    config = PerturbConfig(("all",), start=0.2, rate=0.1, target=0.7)
    limit = jnp.asarray(0.2)
    for success, wanted in ((0.8, 0.3), (0.6, 0.2), (0.1, 0.1), (0.1, 0.1)):
        limit = training_draws.advance(limit, jnp.asarray(success), config=config)
        np.testing.assert_allclose(limit, wanted, atol=1e-6)
    for _ in range(20):
        limit = training_draws.advance(limit, jnp.asarray(1.0), config=config)
    assert limit == 1.0


@pytest.mark.parametrize(
    "wrong", [{"kinds": ("rain",)}, {"share": 1.5}, {"split": "test"}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        PerturbConfig(**{"kinds": ("all",)} | wrong)
    assert kinds.rows(("all",))
