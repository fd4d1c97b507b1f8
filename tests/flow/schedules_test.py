"""Noise schedules against values worked by hand, their ends and floors included."""

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.flow.schedules import Schedule, constant, flow_grpo, learned, linear

TAU = jnp.array([0.0, 0.25, 0.5, 0.75])
DELTA = jnp.full(4, 0.25)


def test_linear_falls_to_zero_at_the_data() -> None:
    sigma = Schedule(linear, scale=0.2)(TAU, DELTA)
    np.testing.assert_allclose(sigma, [0.2, 0.15, 0.1, 0.05], rtol=1e-6)


def test_flow_grpo_divides_by_the_first_step_end() -> None:
    sigma = Schedule(flow_grpo, scale=0.5)(TAU, DELTA)
    worked = [0.5 * 2, 0.5 * np.sqrt(3), 0.5, 0.5 / np.sqrt(3)]
    np.testing.assert_allclose(sigma, worked, rtol=1e-6)


def test_learned_noise_is_the_deviation_of_a_step() -> None:
    noise = jnp.array([0.08, 0.12, 0.16, 0.01])[:, None, None]
    sigma = Schedule(learned, scale=1.0, floor=0.1)(TAU, DELTA, std=noise)
    worked = np.array([0.16, 0.24, 0.32, 0.1])[:, None, None]  # the floor is sigma's
    np.testing.assert_allclose(sigma, worked, rtol=1e-6)
    with pytest.raises(ValueError, match="learned=False with std="):
        Schedule(linear)(TAU, DELTA, std=noise)


def test_constant_is_constant() -> None:
    sigma = Schedule(constant, scale=0.5)(TAU, DELTA)
    np.testing.assert_allclose(sigma, np.full(4, 0.5))


def test_the_floor_lifts_only_what_is_below_it() -> None:
    sigma = Schedule(linear, scale=0.2, floor=0.12)(TAU, DELTA)
    np.testing.assert_allclose(sigma, [0.2, 0.15, 0.12, 0.12], rtol=1e-6)


def test_negative_levels_are_an_error() -> None:
    with pytest.raises(ValueError, match="floor -0.1"):
        Schedule(floor=-0.1)
