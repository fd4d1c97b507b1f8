"""Tests of mjx.lanes: kernels, interpreted, compute what their functions do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx import lanes, vectors
from omnivla_jax.sim.engines.mjx.contact import collision

ROWS, BATCH = 9, lanes.LANE_COUNT + 2  # the second program of the grid is not full
STATIC = np.array([[3], [4], [4], [0]], np.int32)
FACTOR = np.linspace(1, 2, ROWS)[:, None]


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, ROWS, BATCH)).astype(np.float32)
    index = rng.integers(0, ROWS, (5, BATCH)).astype(np.int32)
    return jnp.asarray(values), jnp.asarray(index)


def function(take, values, index):
    scaled = values * FACTOR
    return {
        "static": take.gather(scaled, STATIC),
        "gathered": take.gather(scaled, index),
        "rows": take.rows(scaled[0], index),
    }


def test_a_kernel_computes_what_its_function_does(arrays):
    expected = jax.jit(functools.partial(function, lanes.GATHERS))(*arrays)
    run = functools.partial(lanes.kernel, functools.partial(function, lanes.SELECTIONS))
    found = jax.jit(functools.partial(run, interpret=True))(*arrays)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
    plain = np.asarray(arrays[0]) * np.float32(FACTOR)
    np.testing.assert_allclose(found["static"], plain[:, STATIC[:, 0]], rtol=1e-6)


def test_kernels_take_bools_and_single_rows():
    def chosen(mask, values, shift):
        return jnp.where(mask & (shift > 0), values, -values) + shift, mask

    mask = jnp.arange(BATCH) % 3 == 0
    arguments = (mask, jnp.arange(float(BATCH)), jnp.ones(1))
    found = lanes.kernel(chosen, *arguments, interpret=True)
    np.testing.assert_array_equal(found[0], chosen(*arguments)[0])
    np.testing.assert_array_equal(found[1], mask)


def test_elsewhere_the_function_runs_as_it_stands(arrays):
    values, index = arrays
    program = jax.jit(lambda values: lanes.in_lanes(function, values, index))
    expected = function(lanes.GATHERS, values, index)
    for name, value in program(values).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6)
    lowered = program.trace(values).lower(lowering_platforms=("tpu",)).as_text()
    assert lowered.count("tpu_custom_call") == 1


def test_columns_of_a_table(arrays):
    _, index = arrays
    table = np.arange(2.0 * ROWS, dtype=np.float32).reshape(2, ROWS)
    found = jax.jit(functools.partial(lanes.columns, table))(index)
    np.testing.assert_array_equal(found, table[:, index])


def test_sorting_and_selecting_find_the_same(arrays):
    values, _ = arrays
    rows = jnp.broadcast_to(jnp.arange(ROWS)[:, None], (ROWS, BATCH))
    others = values, rows
    selected, sorted_ = (
        jax.jit(functools.partial(find, 4))(values[0], *others)
        for find in (collision.smallest_by_selection, collision.smallest_by_sorting)
    )
    for ours, theirs in zip(selected, sorted_, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(selected[0], np.sort(values[0], axis=0)[:4])


def test_static_rows_may_repeat_and_go_back():
    values = jnp.arange(60.0).reshape(2, 10, 3)
    for rows in ([0, 0, 0, 1, 2], [3], [9, 5, 6, 7], [0], [1, 1], []):
        found = vectors.take_rows(values, np.array(rows, int))
        np.testing.assert_array_equal(found, np.asarray(values)[:, np.array(rows, int)])
