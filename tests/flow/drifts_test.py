"""Every drift's steps by hand, and its marginals on Gaussian data against theory."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from omnivla_jax.core import compile as compilation
from omnivla_jax.flow import drifts, ode, sde
from omnivla_jax.flow.schedules import Schedule, constant

LOUD = Schedule(scale=1.0)
# dA = f dtau + sigma dw; the factors of the score and of the printed term in f.
EULER = {"corrected": (0.5, 0.0), "paper": (0.0, 0.5), "none": (0.0, 0.0)}


def moments(
    gaussian, drift: drifts.Drift, *, steps: int, schedule: Schedule = LOUD
) -> np.ndarray:
    """Mean and deviation of every state, [K + 1, 2], without Monte Carlo error.

    Gaussian data make a step affine in x, so two probes give its slope and offset and
    the moments follow by recursion.
    """
    tau = ode.time_grid(steps)
    probes = jnp.broadcast_to(jnp.array([0.0, 1.0])[:, None, None], (2, 1, 1))

    def step(tau: jax.Array) -> tuple[jax.Array, jax.Array]:
        times, delta = jnp.full(2, tau), jnp.full(2, 1.0 / steps)
        mean, std = sde.transition(
            probes,
            gaussian.velocity(probes, times),
            times,
            delta,
            sigma=schedule(times, delta),
            drift=drift,
        )
        return mean[:, 0, 0], std[0, 0, 0]

    rows = [np.array([0.0, 1.0])]
    means, stds = compilation.jit(jax.vmap(step))(tau)
    for mean, std in zip(np.asarray(means, np.float64), np.asarray(stds)):
        slope, offset = mean[1] - mean[0], mean[0]
        previous = rows[-1]
        variance = (slope * previous[1]) ** 2 + std**2
        rows.append(np.array([slope * previous[0] + offset, np.sqrt(variance)]))
    return np.stack(rows)


def estimates(gaussian, tau: float) -> tuple[float, float]:
    """Slopes of E[A | x] - m and E[eps | x] in x - tau m, by conditioning."""
    variance = (1 - tau) ** 2 + (tau * gaussian.std) ** 2
    return tau * gaussian.std**2 / variance, (1 - tau) / variance


def limit(gaussian, score: float, printed: float) -> tuple[float, float]:
    """Terminal mean and deviation as K grows, sigma = 1 - tau: the moments' own ODE.

    With f = a x + b:  dm = (a m + b) dtau,  dP = (2 a P + sigma^2) dtau.
    """

    def drift(x: float, tau: float) -> float:
        data, noise = estimates(gaussian, tau)
        centred = x - tau * gaussian.mean
        velocity = gaussian.mean + (data - noise) * centred
        variance = (1 - tau) ** 2 + (tau * gaussian.std) ** 2
        compensation = -score * centred / variance
        compensation += printed * (x + (1 - tau) * velocity)
        return velocity + (1 - tau) ** 2 * compensation

    def rates(tau: float, state: np.ndarray) -> list[float]:
        slope = drift(1.0, tau) - drift(0.0, tau)
        variance = 2 * slope * state[1] + (1 - tau) ** 2
        return [drift(state[0], tau), variance]

    path = solve_ivp(rates, (0.0, 1.0), [0.0, 1.0], rtol=1e-9, atol=1e-12)
    return path.y[0, -1], np.sqrt(path.y[1, -1])


@pytest.mark.parametrize(
    "drift, extra",
    [
        (drifts.corrected, -0.36 / (2 * 0.6) * (0.8 - 0.4 * -0.5)),
        (drifts.paper_drift, 0.36 / 2 * (0.8 + 0.6 * -0.5)),
        (drifts.no_drift_correction, 0.0),
    ],
)
def test_euler_maruyama_by_hand(drift: drifts.Drift, extra: float) -> None:
    x, v, tau, delta, sigma = 0.8, -0.5, 0.4, 0.1, 0.6
    mean, std = sde.transition(
        jnp.full((1, 2, 3), x),
        jnp.full((1, 2, 3), v),
        tau,
        delta,
        sigma=sigma,
        drift=drift,
    )
    np.testing.assert_allclose(mean, np.full((1, 2, 3), x + delta * (v + extra)), 1e-6)
    np.testing.assert_allclose(std, np.full((1, 1, 1), 0.6 * np.sqrt(0.1)), 1e-6)


@pytest.mark.parametrize("sigma, share", [(0.5, 0.5), (1.0, 1.0), (1.7, 1.0)])
def test_cps_by_hand(sigma: float, share: float) -> None:
    x, v = jnp.full((1, 2, 3), 0.8), jnp.full((1, 2, 3), -0.5)
    mean, std = sde.transition(
        x, v, 0.4, 0.1, sigma=sigma, drift=drifts.coefficients_preserving
    )
    data, noise, angle = 0.8 - 0.6 * 0.5, 0.8 + 0.4 * 0.5, np.pi * share / 2
    worked = 0.5 * data + 0.5 * np.cos(angle) * noise
    np.testing.assert_allclose(mean, np.full((1, 2, 3), worked), atol=1e-6)
    np.testing.assert_allclose(std, np.full((1, 1, 1), 0.5 * np.sin(angle)), rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 3, 10, 41, 1000])
def test_the_last_step_of_cps_draws_nothing(steps: int) -> None:
    tau = ode.time_grid(steps)  # 1 - tau - delta is not 0 in float32 for all of them
    x = jnp.ones((steps, 1, 1))
    delta = jnp.full(steps, 1.0 / steps)
    _, std = sde.transition(
        x, x, tau, delta, sigma=0.5, drift=drifts.coefficients_preserving
    )
    noisy = np.asarray(std[:, 0, 0] > 0)
    assert noisy[:-1].all() and not noisy[-1]


def test_every_drift_without_noise_is_the_ode() -> None:
    x, v = jnp.full((1, 2, 3), 0.8), jnp.full((1, 2, 3), -0.5)
    for drift in drifts.DRIFTS.values():
        mean, std = sde.transition(x, v, jnp.full(1, 0.4), 0.1, sigma=0.0, drift=drift)
        chex.assert_trees_all_equal(mean, x + jnp.float32(0.1) * v)
        assert (std == 0).all()


def test_the_corrected_drift_keeps_the_odes_marginals(gaussian) -> None:
    terminal = moments(gaussian, drifts.corrected, steps=1000)
    for tau in (0.25, 0.5, 0.75, 1.0):
        mean, std = terminal[int(1000 * tau)]
        assert mean == pytest.approx(tau * gaussian.mean, rel=0.02)
        assert std == pytest.approx(float(gaussian.marginal_std(tau)), rel=0.02)


@pytest.mark.parametrize("name", EULER)
def test_terminal_moments_are_those_of_the_moments_ode(gaussian, name: str) -> None:
    predicted = limit(gaussian, *EULER[name])
    found = moments(gaussian, drifts.DRIFTS[name], steps=1000)[-1]
    np.testing.assert_allclose(found, predicted, atol=1.5e-3)
    off = {"corrected": 0.0, "paper": 0.1, "none": 0.0956}[name]
    assert predicted[1] - gaussian.std == pytest.approx(off, abs=5e-4)


def test_cps_keeps_the_level_of_independent_noise() -> None:
    """What its name says: the coefficients of old and new noise make up (1 - tau')."""
    tau, delta = ode.time_grid(5), jnp.full(5, 0.2)
    data, noise = jnp.zeros((5, 1, 1)), jnp.ones((5, 1, 1))
    x = (1.0 - tau)[:, None, None] * noise
    mean, std = sde.transition(
        x, data - noise, tau, delta, sigma=0.3, drift=drifts.coefficients_preserving
    )
    level = jnp.sqrt(mean**2 + std**2)[:, 0, 0]
    np.testing.assert_allclose(level, 1.0 - tau - delta, atol=1e-6)


def test_cps_narrows_what_it_redraws_many_times(gaussian) -> None:
    angle = np.pi / 4
    row = np.array([0.0, 1.0])
    for k in range(1000):
        tau, after = k / 1000, (k + 1) / 1000
        data, noise = estimates(gaussian, tau)
        slope = after * data + (1 - after) * np.cos(angle) * noise
        mean = after * gaussian.mean + slope * (row[0] - tau * gaussian.mean)
        variance = (slope * row[1]) ** 2 + ((1 - after) * np.sin(angle)) ** 2
        row = np.array([mean, np.sqrt(variance)])
    half = Schedule(constant, scale=0.5)
    found = moments(
        gaussian, drifts.coefficients_preserving, steps=1000, schedule=half
    )[-1]
    np.testing.assert_allclose(found, row, atol=1e-4)
    narrowed = gaussian.std * np.sqrt((1 + np.cos(angle)) / 2)  # K -> infinity
    assert found[1] == pytest.approx(narrowed, rel=0.02)
    assert found[1] < 0.95 * gaussian.std


def test_weak_order_one_and_the_right_limit(gaussian) -> None:
    exact = np.array([gaussian.mean, gaussian.std])
    errors = np.array(
        [
            np.abs(moments(gaussian, drifts.corrected, steps=k)[-1] - exact)[1]
            for k in (64, 128, 256, 512)
        ]
    )
    assert errors[-1] < 2e-3
    np.testing.assert_allclose(-np.diff(np.log2(errors)), 1.0, atol=0.15)
