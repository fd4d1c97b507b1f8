"""PPO's policy and value losses by hand. The policy's gradient: gradients_test.py."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Score
from omnivla_jax.flow import kl
from omnivla_jax.flow.log_prob import Transitions
from omnivla_jax.rl import gspo, ppo

VALUES, OLD_VALUES = jnp.array([1.0, 2.0, 0.1, 7.0]), jnp.array([0.5, 2.1, 0.0, 0.0])
RETURNS, WEIGHTS = jnp.array([0.0, 3.0, 1.0, 9.0]), jnp.array([1.0, 1.0, 2.0, 0.0])


def test_the_policys_loss_by_hand() -> None:
    """Ratios 1.5, .5 and 1.1 of whole chains, of which the steps say nothing."""
    log_ratio = jnp.log(jnp.array([1.5, 0.5, 1.1]))
    transitions = Transitions(jnp.zeros((1, 3, 1, 1)), jnp.ones((1, 3, 1, 1)))
    steps = (jnp.zeros((1, 3)), jnp.ones((1, 3), bool), transitions)
    loss = functools.partial(gspo.loss, exact_kl=kl.transition_kl)
    value, metrics = compilation.jit(loss, static_argnames=("config",))(
        Score(2.0 * log_ratio, *steps),
        Score(jnp.zeros(3), *steps),
        jnp.array([2.0, -2.0, 1.0]),
        jnp.array([1.0, 1.0, 2.0]),
        config=ppo.PpoConfig(ratio_normalizer=2),
    )
    assert float(value) == pytest.approx(-(2.4 - 1.6 + 2 * 1.1) / 4, rel=1e-6)
    assert float(metrics["clip_fraction"]) == pytest.approx(0.5)
    assert float(metrics["ratio_mean"]) == pytest.approx(4.2 / 4, rel=1e-6)


def critic(values: jax.Array):
    config = ppo.PpoConfig(value_coefficient=1.0)
    return ppo.value_loss(values, OLD_VALUES, RETURNS, WEIGHTS, config=config)


def test_the_critics_loss_by_hand() -> None:
    """Moves of .5, -.1 and .1 under a clip of .2; errors are the worse of the two."""
    differentiate = jax.value_and_grad(critic, has_aux=True)
    (value, metrics), slope = compilation.jit(differentiate)(VALUES)
    # Chunk 0 moved away from its return: unclipped 1 against .49 at .7.
    assert float(value) == pytest.approx((1.0 + 1.0 + 2 * 0.81) / 2 / 4, rel=1e-6)
    np.testing.assert_allclose(slope, [1 / 4, -1 / 4, -2 * 0.9 / 4, 0.0], rtol=1e-5)
    assert float(metrics["value_clip_fraction"]) == pytest.approx(0.25)


def test_clipped_values_have_no_gradient() -> None:
    """From 0 to .5 on its way to 1: clipped at .2, whose error of .8 is the worse."""

    def total(values: jax.Array, clip: float) -> jax.Array:
        config, ones = ppo.PpoConfig(value_clip=clip), jnp.ones(1)
        return ppo.value_loss(values, jnp.zeros(1), ones, ones, config=config)[0]

    differentiate = jax.value_and_grad(total)
    compiled = compilation.jit(differentiate, static_argnames=("clip",))
    value, slope = compiled(jnp.array([0.5]), clip=0.2)
    assert float(value) == pytest.approx(0.5 * 0.64 / 2)
    assert float(slope[0]) == 0.0
    value, slope = compiled(jnp.array([0.5]), clip=math.inf)
    assert float(value) == pytest.approx(0.5 * 0.25 / 2)
    assert float(slope[0]) == pytest.approx(-0.25)


def test_explained_variance_is_the_old_values() -> None:
    _, metrics = compilation.jit(critic)(VALUES)
    used = np.repeat(np.arange(3), [1, 1, 2])  # by weight
    old, returns = np.asarray(OLD_VALUES)[used], np.asarray(RETURNS)[used]
    expected = 1 - np.var(returns - old) / np.var(returns)
    assert float(metrics["explained_variance"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"ratio_normalizer": 0}, "ratio_normalizer is 0"),
        ({"clip_high": -1.0}, "clip_high >= 0"),
        ({"value_clip": 0.0}, "value_clip is 0"),
        ({"gamma": 1.1}, "gamma is 1.1"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ppo.PpoConfig(**settings)
