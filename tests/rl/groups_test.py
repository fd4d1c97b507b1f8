"""Group advantages against worked numbers, dead groups included."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.rl import diagnostics, groups


def test_advantages_by_hand() -> None:
    returns = jnp.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.1])
    found = groups.group_advantages(returns, group_size=4, adv_std_min=1e-3)
    third = np.sqrt(3.0)
    worked = [-1, 1, 1, -1, third, -1 / third, -1 / third, -1 / third, 0, 0, 0, 0]
    np.testing.assert_allclose(found.advantages, worked, rtol=1e-6)
    np.testing.assert_array_equal(found.weights, [1.0] * 8 + [0.0] * 4)
    np.testing.assert_array_equal(found.zero_variance, [False, False, True])
    fraction = diagnostics.group_metrics(found.zero_variance)["zero_variance_fraction"]
    assert float(fraction) == pytest.approx(1 / 3)


def test_the_floor_keeps_small_differences_small() -> None:
    found = groups.group_advantages(
        jnp.array([0.50, 0.52]), group_size=2, adv_std_min=0.1
    )
    np.testing.assert_allclose(found.advantages, [-0.1, 0.1], rtol=1e-4)


def test_advantages_ignore_shift_and_scale_and_other_groups() -> None:
    returns = jax.random.normal(jax.random.key(0), (12,))
    found = groups.group_advantages(returns, group_size=4, adv_std_min=1e-6)
    moved = groups.group_advantages(3.0 * returns + 5.0, group_size=4, adv_std_min=1e-6)
    np.testing.assert_allclose(found.advantages, moved.advantages, atol=1e-5)
    alone = groups.group_advantages(returns[4:8], group_size=4, adv_std_min=1e-6)
    np.testing.assert_allclose(found.advantages[4:8], alone.advantages, atol=1e-6)


def test_an_indivisible_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="10 episodes .* groups of 4"):
        groups.group_advantages(jnp.zeros(10), group_size=4, adv_std_min=1e-6)


def test_repeat_puts_a_group_side_by_side() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    nothing = jnp.zeros((3, 0), bool)  # a scene's touching pairs where no goal asks
    tree = {"x": jnp.arange(6.0).reshape(3, 2), "key": keys, "nothing": nothing}
    copies = groups.repeat(tree, 2)
    assert copies["nothing"].shape == (6, 0)
    np.testing.assert_array_equal(copies["x"], np.repeat(tree["x"], 2, axis=0))
    data = np.asarray(jax.random.key_data(copies["key"]))
    original = np.asarray(jax.random.key_data(keys))
    np.testing.assert_array_equal(data, np.repeat(original, 2, axis=0))


def test_compiles_once() -> None:
    @chex.assert_max_traces(n=1)
    def run(returns: jax.Array) -> groups.GroupAdvantages:
        return groups.group_advantages(returns, group_size=2, adv_std_min=1e-6)

    once = compilation.jit(run)
    for seed in range(2):
        once(jax.random.normal(jax.random.key(seed), (8,)))


def test_too_easy_and_too_hard_groups_weigh_nothing() -> None:
    success = jnp.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0], bool)
    rates = groups.success_rates(success, group_size=4)
    np.testing.assert_array_equal(rates, [0.75, 0.25, 0.0, 0.5])
    kept = groups.success_rate_filter(rates, 0.3, 0.75)
    np.testing.assert_array_equal(kept, [True, False, False, True])
    advantages = groups.group_advantages(
        success.astype(jnp.float32), group_size=4, adv_std_min=1e-3
    )
    found = groups.apply_group_filter(advantages, kept)
    np.testing.assert_array_equal(found.weights.reshape(4, 4).all(axis=1), kept)
    np.testing.assert_array_equal(found.advantages[4:12], 0.0)
    for part in (slice(0, 4), slice(12, 16)):
        np.testing.assert_array_equal(
            found.advantages[part], advantages.advantages[part]
        )
    np.testing.assert_array_equal(found.zero_variance, advantages.zero_variance)


def test_impossible_success_rates_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(0.9, 0.1\) keeps no group"):
        groups.success_rate_filter(jnp.zeros(3), 0.9, 0.1)
    with pytest.raises(ValueError, match="groups of 4"):
        groups.success_rates(jnp.zeros(10), group_size=4)
