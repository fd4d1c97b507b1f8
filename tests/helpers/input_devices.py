"""Batches of the host on a mesh of eight: `input_feed_test.py` runs this apart."""

import jax
import numpy as np
import pytest

from omnivla_jax.core import sharding
from omnivla_jax.train import input_feed


@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 2, 2), (1, 4, 2), (1, 1, 8)])
def test_every_device_holds_its_rows(shape):
    mesh = sharding.make_mesh(**dict(zip(sharding.MESH_AXES, shape)))
    rows = input_feed.local_rows(mesh, 8)
    assert rows.tolist() == list(range(8))
    batches = np.arange(3 * 8 * 5).reshape(3, 8, 5).astype(np.float32)
    placed = input_feed.put_rows(batches, rows, mesh=mesh, size=8)
    np.testing.assert_array_equal(placed, batches)
    each = 8 // (shape[0] * shape[1])
    assert {s.data.shape for s in placed.addressable_shards} == {(3, each, 5)}
    first = jax.jit(lambda leaf: leaf[0])(placed)
    assert first.sharding.is_equivalent_to(sharding.batch_sharding(mesh), first.ndim)


def test_rows_of_another_process_are_not_asked_for():
    """The four devices of a smaller mesh hold all of its rows, by their numbers."""
    mesh = sharding.make_mesh(data=4)
    rows = input_feed.local_rows(mesh, 4)
    placed = input_feed.put_rows(np.eye(4)[None], rows, mesh=mesh, size=4)
    for shard in placed.addressable_shards:
        np.testing.assert_array_equal(shard.data, np.eye(4)[None][shard.index])
