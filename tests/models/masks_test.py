"""Tests of the block-wise causal mask against the worked example of its docstring."""

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.models import masks

LENGTHS = {"reasoning": 2, "spatial": 1, "state": 1, "action": 2}


def test_causal_mask_by_hand():
    mask = masks.block_mask(LENGTHS, suffix_attention="causal")
    expected = [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1],
    ]
    np.testing.assert_array_equal(mask, np.array(expected, bool))


def test_switch_changes_the_action_block_only():
    causal, both = (
        masks.block_mask(LENGTHS, suffix_attention=kind)
        for kind in ("causal", "bidirectional")
    )
    assert both[4:, 4:].all() and not causal[4, 5]
    causal[4, 5] = True
    np.testing.assert_array_equal(causal, both)


def test_missing_block_takes_no_room():
    mask = masks.block_mask({"reasoning": 2, "action": 1}, suffix_attention="causal")
    np.testing.assert_array_equal(mask, [[1, 1, 0], [1, 1, 0], [1, 1, 1]])


def test_padding_is_hidden_and_takes_no_position():
    valid = jnp.array([[True, False, True]])
    hidden = masks.hide_padding(np.ones((2, 3), bool), valid)
    np.testing.assert_array_equal(hidden, [[[1, 0, 1], [1, 0, 1]]])
    np.testing.assert_array_equal(masks.positions(valid), [[0, 0, 1]])


def test_errors_name_the_choices():
    with pytest.raises(ValueError, match="'both'; choose one of causal, bidirectional"):
        masks.block_mask(LENGTHS, suffix_attention="both")
    with pytest.raises(ValueError, match="Unknown blocks .'text'."):
        masks.block_mask({"text": 1}, suffix_attention="causal")
