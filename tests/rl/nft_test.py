"""Negative-aware fine-tuning against its definition by two implicit velocities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core.types import Score
from omnivla_jax.flow import bound, kl
from omnivla_jax.rl import nft

J, N, H, D = 3, 4, 2, 2


def draws() -> bound.Draws:
    keys = jax.random.split(jax.random.key(0), 3)
    target, mixed, velocity = (jax.random.normal(k, (J, N, H, D)) for k in keys)
    return bound.Draws(target, mixed, jnp.zeros((J, N)), velocity)


def score(shift: jax.Array) -> Score:
    seen = draws()
    moved = seen.velocity + jnp.broadcast_to(shift, seen.velocity.shape)
    return bound.recorded_score(seen._replace(velocity=moved))


def by_scores(shift: jax.Array, advantages: jax.Array, **settings) -> jax.Array:
    return nft.loss(
        score(shift),
        score(jnp.zeros(())),
        advantages,
        jnp.ones(N),
        exact_kl=kl.transition_kl,
        config=nft.NftConfig(**settings),
    )[0]


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_it_is_the_contrast_of_two_velocities(beta: float) -> None:
    advantages = jnp.array([2.0, 0.5, 0.0, -1.0])
    rank = np.clip(np.asarray(advantages), -1, 1) / 2 + 0.5

    def by_definition(shift: float) -> float:
        seen = jax.tree.map(np.asarray, draws())
        errors = [
            0.5 * ((seen.velocity + sign * beta * shift - seen.target) ** 2)
            for sign in (1, -1)
        ]
        good, bad = (error.sum(axis=(0, 2, 3)) for error in errors)
        return float(np.mean(rank * good + (1 - rank) * bad))

    moved = by_scores(jnp.array(0.4), advantages, nft_beta=beta)
    expected = (by_definition(0.4) - by_definition(0.0)) / beta
    np.testing.assert_allclose(moved, expected, rtol=1e-4)


def test_bad_chunks_push_away_and_are_held_back() -> None:
    """The loss of a bad chunk is a bowl around a step away from it."""
    bad, good = -jnp.ones(N), jnp.ones(N)
    slopes = [jax.grad(by_scores)(jnp.zeros(()), a) for a in (good, bad)]
    np.testing.assert_allclose(slopes[0], -slopes[1], rtol=1e-4)
    far = by_scores(jnp.array(50.0), bad), by_scores(jnp.array(-50.0), bad)
    assert min(map(float, far)) > 0


def test_settings_out_of_range_are_errors() -> None:
    with pytest.raises(ValueError, match="nft_beta is 0"):
        nft.NftConfig(nft_beta=0.0)
    with pytest.raises(ValueError, match="ratio_normalizer is 0"):
        nft.NftConfig(ratio_normalizer=0)
