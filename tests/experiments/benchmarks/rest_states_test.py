"""Objects settle where the real LIBERO left them, one task of every suite."""

import pytest

from experiments.benchmarks import rest_states
from experiments.benchmarks.lib import libero_recordings
from omnivla_jax.sim import scene as scenes

REST_STATES = {
    f"{row.suite}/{row.task}": row for row in libero_recordings.rest_states()
}


@pytest.mark.parametrize(
    "name", ["libero_spatial/0", "libero_object/1", "libero_goal/0", "libero_10/4"]
)
def test_every_object_rests_where_libero_left_it(name):
    rest = REST_STATES[name]
    scene = scenes.make(rest.suite, tasks=(rest.task,), engine="mujoco")
    rows = list(rest_states.deviations(scene, rest, rest_states.settle(scene, rest)))
    assert len(rows) == len(rest.objects) >= 2
    for row in rows:
        assert all(
            row[name] <= most for name, most in rest_states.REST_LIMITS.items()
        ), row
