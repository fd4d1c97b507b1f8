"""Reads a table's row for every ray, as each kind of device does it quickest.

Axes: N rows, K columns.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.render.arithmetic import fusion_barrier


def columns_at(table: jax.Array, row: jax.Array) -> list[jax.Array]:
    """The columns of a table at the row of every ray.

    A CPU gathers all columns at once, a GPU each by itself, within the arithmetic that
    reads it. A TPU has no gather worth the name, and pads a short last axis to 128: it
    multiplies by one-hot rows, in three passes of bfloat16, which keep 16 bits.

    Args:
      table: float32 or int32 [N, K]; finite, integers below 2^16.
      row: int32 [...], from 0 to N - 1.

    Returns:
      K arrays [...] of the table's type.
    """
    match jax.default_backend():
        case "cpu":
            values = fusion_barrier(
                lambda table, row: table.T.at[:, row].get(mode="promise_in_bounds"),
                table,
                row,
            )
        case "tpu":
            rows = jnp.arange(table.shape[0], dtype=row.dtype)
            one_hot = (rows[:, None] == row.reshape(1, -1)).astype(jnp.float32)
            values = jnp.matmul(
                table.T.astype(jnp.float32), one_hot, precision=jax.lax.Precision.HIGH
            )
            values = values.reshape(-1, *row.shape)
            if jnp.issubdtype(table.dtype, jnp.integer):
                values = (values + 0.5).astype(table.dtype)
        case _:
            return [column.at[row].get(mode="promise_in_bounds") for column in table.T]
    return [values[column] for column in range(table.shape[1])]
