"""Objects settle where the real LIBERO left them, one task of every suite."""

import pytest

from experiments.benchmarks import anchors
from experiments.benchmarks.lib import libero_recordings
from omnivla_jax.sim import scene as scenes

ANCHORS = {f"{row.suite}/{row.task}": row for row in libero_recordings.anchors()}


@pytest.mark.parametrize(
    "name", ["libero_spatial/0", "libero_object/1", "libero_goal/0", "libero_10/4"]
)
def test_every_object_rests_where_libero_left_it(name):
    anchor = ANCHORS[name]
    scene = scenes.make(anchor.suite, tasks=(anchor.task,), engine="mujoco")
    rows = list(anchors.deviations(scene, anchor, anchors.settle(scene, anchor)))
    assert len(rows) == len(anchor.objects) >= 2
    assert [row for row in rows if not anchors.is_within(row)] == []
