"""The controller answers steps as the recorded one does, within the fast limits."""

import pytest

from experiments.benchmarks import osc_response
from experiments.benchmarks.lib import libero_recordings
from omnivla_jax.sim import scene as scenes

LIMITS = {"position_mm": 4.0, "rotation_deg": 2.0, "gripper_mm": 1.5}


@pytest.fixture(scope="module")
def found():
    recorded = libero_recordings.step_responses()
    scene = scenes.make(recorded.suite, tasks=(recorded.task,), engine="mujoco")
    return osc_response.deviations(osc_response.respond(scene, recorded), recorded)


@pytest.mark.parametrize("kind", LIMITS)
def test_every_step_lies_near_the_recorded_one(found, kind):
    values = [value for name, value in found.items() if name.endswith(kind)]
    assert values and max(values) <= LIMITS[kind]
