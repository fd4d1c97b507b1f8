"""The objective by hand. Its gradient: gradients_test.py."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Score
from omnivla_jax.flow import kl, log_prob
from omnivla_jax.flow.log_prob import Transitions
from omnivla_jax.rl import gspo, surrogate
from tests.helpers import linear

compiled_loss = compilation.jit(
    functools.partial(gspo.loss, exact_kl=kl.transition_kl), static_argnames=("config",)
)


def scored(log_prob: jax.Array, mean: float = 0.0) -> Score:
    """One step of one entry, N(mean, 1), with the given log-probability, [N]."""
    shape = (1, len(log_prob), 1, 1)
    transitions = Transitions(jnp.full(shape, mean), jnp.ones(shape))
    return Score(log_prob, log_prob[None], jnp.ones(shape[:2], bool), transitions)


def by_values(log_ratio: list[float], advantages: list[float], **settings):
    """The loss of given log-ratios (|A| = 1) where the means have not moved."""
    count = len(log_ratio)
    weights = jnp.asarray(settings.pop("weights", jnp.ones(count)))
    return compiled_loss(
        scored(jnp.array(log_ratio)),
        scored(jnp.zeros(count)),
        jnp.array(advantages),
        weights,
        config=gspo.GspoConfig(ratio_normalizer=1, **settings),
    )


@pytest.mark.parametrize(
    "ratio, advantage, surrogate",
    [
        (1.5, 2.0, 2.6),  # cut at 1 + .3
        (1.5, -2.0, -3.0),  # the worse branch stays
        (0.5, -2.0, -1.6),  # cut at 1 - .2
    ],
)
def test_clipping_by_hand(ratio: float, advantage: float, surrogate: float) -> None:
    value, metrics = by_values(
        [float(np.log(ratio))], [advantage], clip_low=0.2, clip_high=0.3
    )
    assert float(value) == pytest.approx(-surrogate, rel=1e-5)
    assert float(metrics["clip_fraction"]) == 1.0


def test_weighted_mean_and_empty_batches() -> None:
    value, _ = by_values([0.0] * 3, [1.0, 2.0, 9.0], weights=[1.0, 1.0, 0.0])
    assert float(value) == pytest.approx(-1.5)
    value, _ = by_values([0.0] * 3, [1.0, 2.0, 9.0], weights=[0.0] * 3)
    assert float(value) == 0.0


@pytest.mark.parametrize(
    "kind, from_old, from_reference",
    [
        ("exact", 0.02, 0.32),  # .2^2 / 2 and .8^2 / 2
        ("k3", np.exp(-0.1) - 0.9, np.exp(0.4) - 1.4),
        ("log_ratio", -0.1, 0.4),
    ],
)
def test_every_divergence_from_either_policy(
    kind: str, from_old: float, from_reference: float
) -> None:
    """The policy has log-probability -1, the old one -1.1, the reference -.6."""
    config = gspo.GspoConfig(ratio_normalizer=1, kl_coefficient=2.0, kl_kind=kind)
    arguments = (
        scored(jnp.array([-1.0]), mean=0.2),
        scored(jnp.array([-1.1]), mean=0.0),
        jnp.zeros(1),
        jnp.ones(1),
    )
    reference = scored(jnp.array([-0.6]), mean=1.0)
    value, _ = compiled_loss(*arguments, config=config)
    assert float(value) == pytest.approx(2.0 * from_old, rel=1e-4)
    value, metrics = compiled_loss(*arguments, config=config, reference=reference)
    assert float(value) == pytest.approx(2.0 * from_reference, rel=1e-4)
    assert float(metrics["kl_penalty"]) == pytest.approx(from_reference, rel=1e-4)
    # What is logged as the divergence is exact and from the old policy all the same.
    assert float(metrics["kl"]) == pytest.approx(0.02, rel=1e-4)
    assert float(metrics["entropy"]) == pytest.approx(1.1)


def test_bfloat16_log_probabilities_are_an_error() -> None:
    with pytest.raises(AssertionError, match="bfloat16"):
        surrogate.log_ratio(jnp.zeros(3, jnp.bfloat16), jnp.zeros(3), normalizer=1)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="ratio_normalizer is 0"):
        gspo.GspoConfig(ratio_normalizer=0)
    with pytest.raises(ValueError, match="clip_low < 1"):
        gspo.GspoConfig(ratio_normalizer=1, clip_low=1.5)


@pytest.mark.parametrize("length", [1, 4, 32, 224])
def test_the_default_clip_ignores_the_length(length) -> None:
    """Log-likelihoods that moved by 1.2, 1.4 and 9 nats either way."""
    moved = jnp.array([1.2, 1.4, 9.0])
    low, high = gspo.GspoConfig(ratio_normalizer=length).clip
    for sign in (1.0, -1.0):
        ratio = jnp.exp(sign * moved / length)
        cut = (ratio > 1.0 + high) | (ratio < 1.0 - low)
        assert cut.tolist() == [False, True, True]


def test_the_default_clip_by_hand() -> None:
    low, high = gspo.GspoConfig(ratio_normalizer=32).clip
    assert high == pytest.approx(0.040811, abs=1e-6)  # e^.04 - 1
    assert low == pytest.approx(0.039211, abs=1e-6)  # 1 - e^-.04
    assert gspo.GspoConfig(ratio_normalizer=32, clip_high=0.3).clip == (low, 0.3)


def test_compiles_once() -> None:
    chain = linear.sampled()

    @chex.assert_max_traces(n=1)
    def objective(theta: jax.Array):
        old = log_prob.recorded_log_prob(chain)
        score, weights = linear.score(theta, chain), jnp.ones(linear.N)
        config = gspo.GspoConfig(ratio_normalizer=linear.H * linear.K)
        exact_kl, advantages = kl.transition_kl, linear.ADVANTAGES
        return gspo.loss(
            score, old, advantages, weights, config=config, exact_kl=exact_kl
        )

    once = compilation.jit(jax.value_and_grad(objective, has_aux=True))
    for shift in (0.0, 0.1):
        once(linear.OLD + shift)
