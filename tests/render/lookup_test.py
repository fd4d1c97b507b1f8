"""Every kind of device reads the same rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.render.lookup import columns_at

RNG = np.random.default_rng(0)
ROWS = RNG.integers(0, 37, (3, 50)).astype(np.int32)


@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_columns_are_those_of_the_row(monkeypatch, backend, dtype):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    table = (2000 * RNG.normal(size=(37, 4))).astype(dtype)
    table = np.abs(table) if dtype is np.int32 else table

    @jax.jit
    def read(table, rows):
        return jax.vmap(columns_at, (None, 0))(table, rows)

    columns = read(table, ROWS)
    assert len(columns) == 4 and columns[0].dtype == dtype
    np.testing.assert_allclose(np.stack(columns, -1), table[ROWS], rtol=2.0**-16)
    assert jnp.issubdtype(dtype, jnp.floating) or (columns[1] == table[ROWS, 1]).all()
