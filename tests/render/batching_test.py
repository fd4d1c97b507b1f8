"""Batches one by one and in blocks equal what is drawn image by image."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.render import batching


@pytest.mark.parametrize("backend", ["cpu", "tpu"])
@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_batches_equal_single_images_and_nothing_retraces(monkeypatch, backend, count):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    chex.clear_trace_counter()
    shared = jnp.arange(3.0)

    def draw(shared, own):
        return {"image": shared[:, None] * own["a"] + own["b"]}

    together = batching.in_blocks(draw, images_at_once=2)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def batch(own):
        return jax.vmap(together, (None, 0))(shared, own)

    rng = np.random.default_rng(0)
    own = {name: rng.normal(size=(count, 5)).astype(np.float32) for name in "ab"}
    batch(own)
    found = batch(own)["image"]
    for index in range(count):
        single = draw(shared, {name: own[name][index] for name in "ab"})["image"]
        np.testing.assert_allclose(found[index], single, rtol=1e-6)
    assert found.shape == (count, 3, 5)


def test_an_accelerator_holds_one_block(monkeypatch):
    """The largest intermediate array is a block's, whatever the batch."""
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    draw = batching.in_blocks(
        lambda x: jnp.sort(x[:, None] * jnp.ones(1000), 1)[:, 500], images_at_once=4
    )

    def temporary(count):
        program = jax.jit(jax.vmap(draw)).lower(jnp.zeros((count, 10)))
        memory = program.compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert temporary(16) > 10_000
    assert temporary(64) < 1.2 * temporary(16)
