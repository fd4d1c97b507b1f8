"""Knowledge insulation: which loss reaches which expert, and what the tokens cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from omnivla_jax.core import compile as compilation
from omnivla_jax.policy import policy
from omnivla_jax.policy.heads import action_head, bins, insulation
from omnivla_jax.policy.heads.l1 import LaplaceSampler
from tests.helpers.debug_inputs import observation
from tests.helpers.small_heads import KEY, Encoded, small

CONFIG = small("l1", insulation="bins")
CHUNK = jnp.linspace(-0.9, 0.9, 16).reshape(2, 2, 4)


@pytest.fixture(scope="module")
def encoded():
    return Encoded(CONFIG, LaplaceSampler())


@pytest.fixture(scope="module")
def slopes(encoded):
    """Gradients of the loss by its weight of the tokens, and of a likelihood."""
    inputs = jax.tree.map(lambda leaf: leaf[:2], observation())
    _, trace = encoded.explore(encoded.params, KEY)
    head = action_head(CONFIG)

    def values(params):
        cache = policy.encode_prefix(params, inputs, config=CONFIG)
        arguments = params, cache, inputs.proprio
        loss = head.sft_loss(*arguments, CHUNK, KEY, config=CONFIG, draws=1)
        tokens = insulation.backbone_loss(
            *arguments, CHUNK, config=CONFIG, codec=bins.BINS
        )
        score = head.score(
            *arguments,
            trace,
            config=CONFIG,
            sampler=LaplaceSampler(),
            executed_mask=None
        )
        return jnp.stack([loss - tokens, tokens, score.log_prob.sum()])

    return compilation.jit(jax.jacrev(values))(encoded.params)


def norms(slopes, number, *path):
    for name in path:
        slopes = slopes[name]
    return [float(jnp.abs(leaf[number]).max()) for leaf in jax.tree.leaves(slopes)]


@pytest.mark.parametrize("number", [0, 2], ids=["the head's loss", "a likelihood"])
def test_the_head_stays_out_of_the_prefix(slopes, number):
    assert max(norms(slopes, number, "reasoning")) < 1e-6
    assert max(norms(slopes, number, "action", "layers")) > 1e-3
    assert max(norms(slopes, number, "action", "backbone")) < 1e-6


def test_tokens_train_the_prefix_alone(slopes):
    assert max(norms(slopes, 1, "reasoning", "layers")) > 1e-3
    assert max(norms(slopes, 1, "reasoning", "encoder")) > 0
    assert max(norms(slopes, 1, "action", "backbone")) > 1e-3
    assert max(norms(slopes, 1, "action", "layers")) == 0


@pytest.mark.slow
def test_without_it_the_head_reaches_the_prefix(encoded):
    """Acting is the same; the gradient is not."""
    plain = small("l1")
    inputs = jax.tree.map(lambda leaf: leaf[:2], observation())

    def loss(params):
        cache = policy.encode_prefix(params, inputs, config=plain)
        return action_head(plain).sft_loss(
            params, cache, inputs.proprio, CHUNK, KEY, config=plain, draws=1
        )

    slope = compilation.jit(jax.grad(loss))(encoded.params)["reasoning"]
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slope)) > 1e-3
    other = Encoded(plain, LaplaceSampler())
    other.cache = encoded.cache
    np.testing.assert_array_equal(
        encoded.act(encoded.params, KEY), other.act(encoded.params, KEY)
    )


def test_the_cost_is_that_of_the_tokens_softmaxes(encoded):
    """At logits of fixed biases, whatever the prefix."""
    parts = encoded.params["action"]["backbone"]
    bias = np.array([0.0, 1.0, -1.0, 0.5, 2.0])
    output = {"logits": {"kernel": jnp.zeros_like(parts["output"]["logits"]["kernel"])}}
    output["logits"]["bias"] = jnp.asarray(bias, jnp.float32)
    action = encoded.params["action"] | {"backbone": {**parts, "output": output}}
    found = insulation.backbone_loss(
        encoded.params | {"action": action},
        encoded.cache,
        encoded.proprio,
        CHUNK,
        config=CONFIG,
        codec=bins.BINS,
        loss_mask=jnp.array([[True, True], [True, False]]),
    )
    tokens = bins.encode(action["codec"], CHUNK, config=CONFIG).reshape(2, 2, 3)
    counted = np.concatenate([tokens[0].reshape(-1), tokens[1, 0]])
    expected = scipy.special.logsumexp(bias) - bias[counted].mean()
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="bins, fast"):
        action_head(small("l1", insulation="bin"))
    with pytest.raises(ValueError, match="writes tokens itself"):
        action_head(small("tokens", insulation="bins"))
