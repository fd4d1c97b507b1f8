"""Tests of omnivla_jax.core.action_chunks: four rules for the end of an episode."""

import numpy as np
import pytest

from omnivla_jax.core import action_chunks

ACTIONS = np.arange(21, dtype=np.float32).reshape(3, 7) + 1


def test_hold_stands_still_with_the_last_gripper_command():
    chunks = action_chunks.chunk_targets(ACTIONS, 4)
    rest = np.array([0, 0, 0, 0, 0, 0, 21], np.float32)
    assert chunks.shape == (3, 4, 7) and chunks.dtype == np.float32
    np.testing.assert_array_equal(chunks[0], [*ACTIONS, rest])
    np.testing.assert_array_equal(chunks[2], [ACTIONS[2], rest, rest, rest])


@pytest.mark.parametrize("padding", ["clamp", "mask"])
def test_clamp_repeats_the_last_action(padding):
    """As LeRobot's index clip(row + delta, from, to - 1)."""
    chunks = action_chunks.chunk_targets(ACTIONS, 4, padding)
    index = np.clip(np.arange(3)[:, None] + np.arange(4), 0, 2)
    np.testing.assert_array_equal(chunks, ACTIONS[index])


def test_drop_keeps_whole_chunks_only():
    """As OpenVLA: T - (H - 1) samples."""
    chunks = action_chunks.chunk_targets(ACTIONS, 2, "drop")
    np.testing.assert_array_equal(chunks, [ACTIONS[:2], ACTIONS[1:]])
    assert action_chunks.chunk_targets(ACTIONS, 4, "drop").shape == (0, 4, 7)


def test_only_mask_leaves_actions_out_of_the_loss():
    expected = [[True, True], [True, True], [True, False]]
    np.testing.assert_array_equal(action_chunks.loss_mask(3, 2, "mask"), expected)
    assert action_chunks.loss_mask(3, 2, "clamp") is None


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match="padding='wrap' is unknown: .* hold, clamp"):
        action_chunks.chunk_targets(ACTIONS, 2, "wrap")
