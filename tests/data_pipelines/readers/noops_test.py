"""Tests of readers.noops: OpenVLA's rule, and what is left of a demonstration."""

import numpy as np
import pytest

from data_pipelines import rlds
from data_pipelines.readers import READERS, noops
from data_pipelines.readers.options import ReadOptions
from tests.data_pipelines.rlds_test import make_episode

REST, MOVE = [0.0] * 6, [0.0, 0.5, 0.0, 0.0, 0.0, 0.0]
TINY = [5e-5, 0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "actions, kept",
    [
        ([[*MOVE, -1], [*REST, -1], [*TINY, -1], [*MOVE, -1]], [0, 3]),
        ([[*REST, -1], [*MOVE, -1], [*REST, 1], [*REST, 1], [*REST, -1]], [1, 2, 4]),
        ([[*REST, 1], [*REST, -1], [*MOVE, 1]], [2]),  # nothing kept to compare with
        ([[*REST, 1]], []),
    ],
)
def test_a_step_counts_by_motion_or_gripper(actions, kept):
    assert noops.kept_steps(np.asarray(actions, np.float32)).tolist() == kept


def test_every_reader_leaves_them_out(tmp_path):
    whole = make_episode(0, length=4)
    action = np.asarray([[*MOVE, -1], [*REST, -1], [*MOVE, -1], [*REST, 1]], np.float32)
    still = whole._replace(action=np.asarray([[*REST, -1]] * 4, np.float32))
    rlds.write(tmp_path, [whole._replace(action=action), still], name="libero_goal")
    assert len(list(READERS["rlds"](tmp_path))) == 2
    options = ReadOptions(remove_noops=True)
    (found,) = READERS["rlds"](tmp_path, options=options)
    kept = [0, 2, 3]
    np.testing.assert_array_equal(np.asarray(found.images), whole.images[kept])
    np.testing.assert_array_equal(found.state, whole.state[kept])
    np.testing.assert_array_equal(found.joint_state, whole.joint_state[kept])
    np.testing.assert_array_equal(found.action, action[kept])
