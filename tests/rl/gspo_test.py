"""The objective by hand, its gradient by two oracles, and a toy that it must solve."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import ChainScore
from omnivla_jax.flow import log_prob, sde
from omnivla_jax.flow.schedules import Schedule
from omnivla_jax.rl import gspo

K, N, H, D = 4, 6, 3, 2
LOUD = Schedule(scale=0.8, floor=0.3)
CONFIG = gspo.GspoConfig(length=H * K)
ADVANTAGES = jnp.array([1.0, -0.5, 2.0, -1.0, 0.3, -1.5])
OLD = jnp.array([0.3, -0.2])


def bias(theta: jax.Array):
    """The simplest policy: the velocity is theta everywhere; theta [D]."""
    return lambda x, tau: jnp.broadcast_to(theta, x.shape)


@functools.cache
def sampled(drift: sde.Drift = sde.corrected) -> sde.Chain:
    @compilation.jit
    def sample(key: jax.Array) -> sde.Chain:
        noise_key, walk_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (N, H, D))
        return sde.sample(
            walk_key, bias(OLD), noise, steps=K, schedule=LOUD, drift=drift
        )

    return sample(jax.random.key(0))


def objective(
    theta: jax.Array,
    chain: sde.Chain,
    config: gspo.GspoConfig = CONFIG,
    drift: sde.Drift = sde.corrected,
):
    """The loss of `bias(theta)` on a chain of `bias(OLD)`, as a train step has it."""
    score = log_prob.chain_log_prob(bias(theta), chain, schedule=LOUD, drift=drift)
    return gspo.loss(
        score,
        log_prob.recorded_log_prob(chain),
        ADVANTAGES,
        jnp.ones(N),
        config=config,
    )


gradient = compilation.jit(
    jax.grad(objective, has_aux=True), static_argnames=("config", "drift")
)


def double(array: jax.Array) -> np.ndarray:
    return np.asarray(array, np.float64)


compiled_loss = compilation.jit(gspo.loss, static_argnames=("config",))


def by_values(log_ratio: list[float], advantages: list[float], **settings):
    """The loss of given log-ratios (|A| = 1) where the means have not moved."""
    count = len(log_ratio)
    means = jnp.zeros((1, count, 1, 1))
    weights = jnp.asarray(settings.pop("weights", jnp.ones(count)))
    log_prob, stds = jnp.array(log_ratio), jnp.ones((1, count, 1, 1))
    return compiled_loss(
        ChainScore(log_prob, log_prob[None], means, stds),
        ChainScore(jnp.zeros(count), jnp.zeros((1, count)), means, stds),
        jnp.array(advantages),
        weights,
        config=gspo.GspoConfig(length=1, **settings),
    )


@pytest.mark.parametrize(
    "ratio, advantage, surrogate",
    [
        (1.5, 2.0, 2.6),  # cut at 1 + .3
        (1.5, -2.0, -3.0),  # the worse branch stays
        (0.5, 2.0, 1.0),
        (0.5, -2.0, -1.6),  # cut at 1 - .2
        (1.1, 2.0, 2.2),
    ],
)
def test_clipping_by_hand(ratio: float, advantage: float, surrogate: float) -> None:
    value, metrics = by_values(
        [float(np.log(ratio))], [advantage], clip_low=0.2, clip_high=0.3
    )
    assert float(value) == pytest.approx(-surrogate, rel=1e-5)
    assert float(metrics["clip_fraction"]) == (ratio != 1.1)


def test_the_mean_is_weighted_and_empty_batches_count_nothing() -> None:
    value, _ = by_values([0.0] * 3, [1.0, 2.0, 9.0], weights=[1.0, 1.0, 0.0])
    assert float(value) == pytest.approx(-1.5)
    value, _ = by_values([0.0] * 3, [1.0, 2.0, 9.0], weights=[0.0] * 3)
    assert float(value) == 0.0


def test_the_divergence_by_hand() -> None:
    means = jnp.zeros((2, 1, 1, 2)).at[0].set(0.3).at[1].set(0.1)
    stds = jnp.array([0.5, 0.0]).reshape(2, 1, 1, 1)

    def total(means: jax.Array) -> tuple[jax.Array, jax.Array]:
        step_kl = gspo.gaussian_kl(means, jnp.zeros_like(means), stds)
        return step_kl.sum(), step_kl

    slope, found = compilation.jit(jax.grad(total, has_aux=True))(means)
    np.testing.assert_allclose(found, [[0.36], [0.0]], rtol=1e-6)
    np.testing.assert_allclose(slope[:, 0, 0], [[1.2, 1.2], [0.0, 0.0]], rtol=1e-6)


def test_a_uniform_move_puts_most_divergence_into_the_last_step() -> None:
    """64.5 % under sigma = 0.1 (1 - tau) and K = 10, as derived on paper."""
    tau = jnp.arange(10, dtype=jnp.float32) / 10
    delta, x = jnp.full(10, 0.1), jnp.zeros((10, 1, 1))
    sigma = Schedule()(tau, delta)
    old, std = sde.transition(x, x, tau, delta, sigma=sigma)
    new, _ = sde.transition(x, x + 0.01, tau, delta, sigma=sigma)
    step_kl = gspo.gaussian_kl(new[:, None], old[:, None], std[:, None])
    assert float(step_kl[-1, 0] / step_kl.sum()) == pytest.approx(0.645, abs=0.005)


def test_the_first_ratio_is_one() -> None:
    _, metrics = gradient(OLD, sampled())
    assert float(metrics["ratio_mean"]) == pytest.approx(1.0, abs=1e-6)
    assert float(metrics["kl"]) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("drift", [sde.corrected, sde.paper])
def test_gradient_is_the_papers_closed_form(drift: sde.Drift) -> None:
    """Eq. 19-24 at theta_old: Adv / |A| sum_k (A' - mu) / std^2 C_r dv/dtheta."""
    chain = sampled(drift)
    slope, _ = gradient(OLD, chain, drift=drift)
    tau, delta, std = map(double, (chain.tau, chain.delta, chain.stds[..., 0, 0]))
    variance = std**2 / delta
    if drift is sde.corrected:
        factor = (1 + variance * tau / (2 * (1 - tau))) * delta
    else:
        factor = (1 + variance * (1 - tau) / 2) * delta
    residual = double(chain.states[1:]) - double(chain.means)
    per_chunk = np.einsum("knhd,kn->nd", residual, factor / std**2)
    expected = -double(ADVANTAGES) @ per_chunk / (H * K) / N
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)


def reference_objective(theta: np.ndarray, chain: sde.Chain, config) -> float:
    """The loss again in float64 numpy, straight from the paper's equations."""
    x, following = double(chain.states[:-1]), double(chain.states[1:])
    tau = double(chain.tau)[..., None, None]
    std, old = double(chain.stds), double(chain.means)
    pull = std**2 * K / (2 * (1 - tau))
    mean = x + (theta - pull * (x - tau * theta)) / K
    exponents = ((following - old) ** 2 - (following - mean) ** 2) / (2 * std**2)
    ratio = np.exp(exponents.sum(axis=(0, 2, 3)) / config.length)
    clipped = np.clip(ratio, 1 - config.clip_low, 1 + config.clip_high)
    advantages = double(ADVANTAGES)
    surrogate = np.minimum(ratio * advantages, clipped * advantages)
    kl = ((mean - old) ** 2 / (2 * std**2)).sum(axis=(0, 2, 3))
    return -np.mean(surrogate - config.kl_coefficient * kl)


def test_gradient_against_central_differences() -> None:
    chain = sampled()
    config = gspo.GspoConfig(length=H * K * D, clip_low=0.05, clip_high=0.03)
    theta = np.array([0.6, 0.1])
    slope, metrics = gradient(jnp.asarray(theta, jnp.float32), chain, config=config)
    assert 0.0 < metrics["clip_fraction"] < 1.0
    assert metrics["kl"] > 0.1
    expected = [
        (
            reference_objective(theta + shift, chain, config)
            - reference_objective(theta - shift, chain, config)
        )
        / 2e-5
        for shift in 1e-5 * np.eye(D)
    ]
    np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-6)
    value = reference_objective(theta, chain, config)
    assert float(metrics["loss"]) == pytest.approx(value, rel=1e-4)


def test_bfloat16_log_probabilities_are_an_error() -> None:
    with pytest.raises(AssertionError, match="bfloat16"):
        gspo.chunk_log_ratio(jnp.zeros(3, jnp.bfloat16), jnp.zeros(3), length=1)


def test_lengths_and_bad_settings() -> None:
    assert gspo.chunk_length(horizon=16, steps=10) == 160
    assert gspo.chunk_length(horizon=16, steps=10, action_dim=7) == 1120
    with pytest.raises(ValueError, match="length is 0"):
        gspo.GspoConfig(length=0)
    with pytest.raises(ValueError, match="clip_low < 1"):
        gspo.GspoConfig(length=1, clip_low=1.5)


def test_compiles_once() -> None:
    once = compilation.jit(
        jax.value_and_grad(chex.assert_max_traces(objective, n=1), has_aux=True)
    )
    for shift in (0.0, 0.1):
        once(OLD + shift, sampled())
