"""Where the actions look, as metrics of training."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from omnivla_jax.policy import normalize
from omnivla_jax.train import sft
from omnivla_jax.train.attention_metrics import attention_metrics
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import unoptimized
from tests.helpers.debug_inputs import CONFIG, observation, random_params


@pytest.fixture(scope="module")
def state():
    settings = sft.SftConfig(OptimizerConfig(1e-3), steps=10)
    return sft.create(
        random_params(CONFIG), normalize.identity_normalizer(8, 7), settings, seed=0
    )


def test_shares_of_a_layer_sum_to_one(state):
    metrics = functools.partial(attention_metrics, policy_config=CONFIG)
    shares = unoptimized.jit(metrics)(state, observation())
    blocks = ("reasoning", "spatial", "state", "action")
    for layer in range(CONFIG.mot.reasoning.depth):
        total = sum(shares.pop(f"attention_{block}_{layer}") for block in blocks)
        np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert not shares


def test_another_head_is_refused(state):
    config = dataclasses.replace(CONFIG, head="l1")
    with pytest.raises(ValueError, match="looks at the flow head, not at 'l1'"):
        jax.eval_shape(
            functools.partial(attention_metrics, policy_config=config),
            state,
            observation(),
        )
