"""DPPO: its clips and discounts by hand, and GRPO as its special case."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core.types import Score
from omnivla_jax.flow import kl, log_prob
from omnivla_jax.rl import dppo, grpo

K, N = 4, 6
ADVANTAGES = jnp.array([1.0, -1.0, 2.0, -0.5, 0.0, 3.0])
WEIGHTS = jnp.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])


def score(shift: float) -> Score:
    steps = jax.random.normal(jax.random.key(0), (K, N))
    moved = steps + shift * jax.random.normal(jax.random.key(1), (K, N))
    has_density = jnp.ones((K, N), bool).at[0, 1].set(False)
    law = log_prob.Transitions(jnp.zeros((K, N, 1, 1)), jnp.ones((K, N, 1, 1)))
    return Score(jnp.sum(moved, axis=0), moved, has_density, law)


def test_clips_rise_from_noise_to_data() -> None:
    config = dppo.DppoConfig()
    place = np.expm1(3 * np.array([0, 1 / 3, 2 / 3, 1])) / np.expm1(3)
    found = dppo.step_clips(4, config)
    np.testing.assert_allclose(found, 0.001 + 0.009 * place, rtol=1e-5)
    straight = dppo.step_clips(3, dppo.DppoConfig(clip_growth=0.0))
    np.testing.assert_allclose(straight, [0.001, 0.0055, 0.01], rtol=1e-5)
    np.testing.assert_allclose(dppo.step_clips(1, config), [0.01], rtol=1e-5)


def test_objective_by_hand() -> None:
    config = dppo.DppoConfig(ratio_normalizer=2, step_discount=0.5, last_clip=0.1)
    new, old = score(0.1), score(0.0)
    value, metrics = dppo.loss(
        new, old, ADVANTAGES, WEIGHTS, config=config, exact_kl=kl.transition_kl
    )
    clips = np.asarray(dppo.step_clips(K, config))
    log_ratio = np.asarray(new.step_log_prob - old.step_log_prob) / 2
    advantages, weights = np.asarray(ADVANTAGES), np.asarray(WEIGHTS)
    total, share = 0.0, 0.0
    for i in range(N):
        steps = [k for k in range(K) if old.has_density[k, i]]
        for k in steps:
            ratio = np.exp(log_ratio[k, i])
            advantage = 0.5 ** (K - 1 - k) * advantages[i]
            bounded = np.clip(ratio, 1 - clips[k], 1 + clips[k])
            gain = min(ratio * advantage, bounded * advantage)
            total += weights[i] * gain / len(steps)
            share += weights[i] / len(steps) * (bounded != ratio)
    np.testing.assert_allclose(value, -total / 5, rtol=1e-4)
    np.testing.assert_allclose(metrics["clip_fraction"], share / 5, rtol=1e-4)


def test_equal_steps_are_grpo() -> None:
    flat = dppo.DppoConfig(step_discount=1.0, first_clip=0.05, last_clip=0.05)
    plain = grpo.GrpoConfig(clip_low=0.05, clip_high=0.05, kl_coefficient=0.0)
    scores = (score(0.1), score(0.0), ADVANTAGES, WEIGHTS)
    ours, _ = dppo.loss(*scores, config=flat, exact_kl=kl.transition_kl)
    theirs, _ = grpo.loss(*scores, config=plain, exact_kl=kl.transition_kl)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"first_clip": 0.2}, "first_clip is 0.2 and last_clip 0.01"),
        ({"step_discount": 0.0}, "step_discount is 0.0"),
        ({"ratio_normalizer": 0}, "ratio_normalizer is 0"),
        ({"gamma": 1.5}, "gamma is 1.5"),
    ],
)
def test_bad_settings_are_refused(wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        dppo.DppoConfig(**wrong)
