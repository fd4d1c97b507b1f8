"""Which entries of a chunk count, and samplers that cannot score what they draw."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.flow import drifts, schedules
from omnivla_jax.flow.schedules import Schedule
from omnivla_jax.policy import config as configs
from omnivla_jax.policy.heads.base import likelihood_mask
from omnivla_jax.policy.heads.flow_sampler import FlowSampler

PADDED = dataclasses.replace(configs.preset("debug"), action_dim=10, real_action_dim=7)


def test_executed_actions_and_real_dimensions_count() -> None:
    entries = likelihood_mask(PADDED, 3)
    expected = np.zeros((4, 10), bool)
    expected[:3, :7] = True
    np.testing.assert_array_equal(entries, expected)
    everything = likelihood_mask(configs.preset("debug"), None)
    assert everything.shape == (4, 7) and everything.all()


def test_actions_behind_an_episodes_end_do_not_count() -> None:
    executed = jnp.arange(3) < jnp.array([0, 2, 3])[:, None]
    entries = np.asarray(likelihood_mask(PADDED, 3, executed_mask=executed))
    assert entries.shape == (3, 4, 10)
    assert entries.sum(axis=(1, 2)).tolist() == [0, 2 * 7, 3 * 7]
    with pytest.raises(AssertionError):
        likelihood_mask(PADDED, 3, executed_mask=jnp.ones((3, 10), bool))


def test_cps_has_one_noisy_step_less() -> None:
    assert FlowSampler(4, Schedule(), drifts.corrected).noisy_steps == 4
    assert FlowSampler(4, Schedule(), drifts.coefficients_preserving).noisy_steps == 3
    with pytest.raises(ValueError, match="steps=1 .*`cps` needs at least 2"):
        FlowSampler(1, Schedule(), drifts.coefficients_preserving)
    with pytest.raises(ValueError, match="stochastic_steps is 'two'; choose 'all'"):
        FlowSampler(4, Schedule(), stochastic_steps="two")
    assert FlowSampler(4, Schedule(), stochastic_steps="none").num_scored_steps == 4
    with pytest.raises(ValueError, match="bound_draws=0"):
        FlowSampler(4, Schedule(), bound_draws=0)
    learned = Schedule(schedules.learned, scale=1.0)
    with pytest.raises(ValueError, match="no noise that a schedule could learn"):
        FlowSampler(4, learned, stochastic_steps="none")


@pytest.mark.parametrize("real", [0, 11])
@pytest.mark.parametrize("name", ["real_action_dim", "real_proprio_dim"])
def test_real_dimensions_are_some_of_all(name: str, real: int) -> None:
    change: Any = {name: real}
    with pytest.raises(ValueError, match=f"{name} is {real}; choose 1 to"):
        dataclasses.replace(PADDED, **change)
