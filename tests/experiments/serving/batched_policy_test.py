"""Tests of experiments.serving.batched_policy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.serving import batched_policy, requests
from experiments.serving.batched_policy import BatchedPolicy, BatchItem, NoiseStream
from omnivla_jax.policy import inference
from tests.helpers import served

FORMAT = requests.RequestFormat(image_size=served.CONFIG.vision.image_size)
POLICY = served.make_policy()


def item(seed, number=0):
    observation = requests.to_observation(served.request(seed), FORMAT)
    prepared, _ = POLICY.prepare(observation)
    return BatchItem(prepared, NoiseStream(number, seed))


def test_sizes_are_powers_of_two_and_the_largest():
    for largest in range(1, 40):
        sizes = batched_policy.batch_sizes(largest)
        assert sizes[-1] == largest and list(sizes) == sorted(set(sizes))
        assert all(size & (size - 1) == 0 for size in sizes[:-1])
        assert all(b <= 2 * a for a, b in zip(sizes, sizes[1:]))


@pytest.mark.slow
def test_no_request_compiles_and_none_sees_its_batch(monkeypatch):
    chex.clear_trace_counter()
    counted = chex.assert_max_traces(inference._sample_actions, n=2)
    monkeypatch.setattr(inference, "_sample_actions", counted)
    policy = BatchedPolicy(served.make_policy(), max_batch=2, seed=5)
    policy.compile()
    items = [item(seed) for seed in range(3)]
    alone = [policy.sample([each])[0] for each in items]
    for pair in ([0, 1], [2, 0]):
        for row, found in zip(pair, policy.sample([items[row] for row in pair])):
            np.testing.assert_allclose(found, alone[row], atol=1e-4)
    assert all(chunk.shape == (served.CONFIG.horizon, 7) for chunk in alone)


def test_noise_follows_seed_number_and_request():
    key = jax.random.key(5)
    found = batched_policy.noise_keys(
        key, jnp.array([0, 0, 1], jnp.uint32), jnp.array([7, 8, 7], jnp.uint32)
    )
    data = np.asarray(jax.random.key_data(found))
    assert len(np.unique(data, axis=0)) == 3
    expected = jax.random.fold_in(jax.random.fold_in(key, 1), 7)
    np.testing.assert_array_equal(data[2], jax.random.key_data(expected))
    policy = BatchedPolicy(served.make_policy(), max_batch=1, seed=5)
    first, again, next_ = (policy.sample([item(0, n)])[0] for n in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - next_).max() > 1e-3
