"""DPO on pairs of a group, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core.types import Score
from omnivla_jax.flow import kl, log_prob
from omnivla_jax.rl import dpo

ADVANTAGES = jnp.array([1.0, -1.0, 2.0, -0.5, -3.0, 1.0])
WEIGHTS = jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 1.0])  # the fifth does not count
GROUP = jnp.array([0, 0, 0, 1, 0, 2])
PAIRS = [(0, 1), (2, 1)]
MOVED = jnp.array([0.3, -0.2, 0.1, 0.5, 0.4, -0.6])


def score(log_prob_of_chunks: jax.Array) -> Score:
    count = len(log_prob_of_chunks)
    law = log_prob.Transitions(jnp.zeros((1, count, 1, 1)), jnp.ones((1, count, 1, 1)))
    steps = log_prob_of_chunks[None]
    return Score(log_prob_of_chunks, steps, jnp.ones(steps.shape, bool), law)


def loss(moved: jax.Array, **named):
    return dpo.loss(
        score(moved),
        score(jnp.zeros_like(moved)),
        ADVANTAGES,
        WEIGHTS,
        GROUP,
        config=dpo.DpoConfig(ratio_normalizer=2, dpo_beta=0.8),
        exact_kl=kl.transition_kl,
        **named,
    )


def test_pairs_have_one_group_and_both_outcomes() -> None:
    value, metrics = loss(MOVED)
    margins = np.array([MOVED[i] - MOVED[j] for i, j in PAIRS]) / 2
    expected = np.mean(np.log1p(np.exp(-0.8 * margins)))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert metrics["pairs"] == 2 and metrics["preference_accuracy"] == 1


def test_gradient_lifts_good_and_lowers_bad_chunks() -> None:
    """At the reference it is beta / 2 times each chunk's share of the pairs."""
    slope = jax.grad(lambda moved: loss(moved)[0])(jnp.zeros(6))
    by_hand = -0.8 / 2 / 2 * np.array([0.5, -1.0, 0.5, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(slope, by_hand, rtol=1e-5, atol=1e-8)


def test_a_reference_of_its_own_holds_the_policy() -> None:
    value, _ = loss(MOVED, reference=score(MOVED))
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)


def test_a_minibatch_without_pairs_is_silent() -> None:
    value, metrics = dpo.loss(
        score(MOVED),
        score(0 * MOVED),
        jnp.abs(ADVANTAGES),
        WEIGHTS,
        GROUP,
        config=dpo.DpoConfig(),
        exact_kl=kl.transition_kl,
    )
    assert value == 0 and metrics["pairs"] == 0


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="dpo_beta 0"):
        dpo.DpoConfig(dpo_beta=0)
