"""Tests of omnivla_jax.core.indices: what is known is checked before it gathers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import indices


@pytest.mark.parametrize("kind", [list, np.array, jnp.array, tuple])
def test_unknown_numbers_come_once_and_in_their_order(kind):
    found = indices.unknown(kind([3, 10, 0, -1, 10]), range(10), name="row")
    assert found == [10, -1]
    assert indices.unknown(kind([0, 9]), range(10), name="row") == []


def test_numbers_beyond_int32_do_not_wrap_around():
    assert indices.unknown([2**32 + 1], range(10), name="row") == [2**32 + 1]


def test_one_number_is_checked_as_well():
    assert indices.unknown(7, (0, 3), name="row") == [7]


@pytest.mark.parametrize("wrong", [[1.0], [True], ["a"], [None]])
def test_what_is_no_integer_is_refused(wrong):
    with pytest.raises(ValueError, match="row is an integer"):
        indices.unknown(wrong, range(10), name="row")


def test_traced_numbers_pass_but_their_kind_is_checked():
    def run(values):
        assert indices.unknown(values, range(3), name="row") == []
        return values

    assert jax.jit(run)(jnp.array([7]))[0] == 7
    with pytest.raises(ValueError, match="float32"):
        jax.jit(run)(jnp.array([7.0]))


def test_ranges_are_named_by_their_ends():
    assert indices.listed(range(10)) == "0 to 9"
    assert indices.listed((7, 2, 4)) == "2, 4, 7"
    assert indices.listed((5,)) == "5"
