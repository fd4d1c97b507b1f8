import dataclasses

import jax
import pytest

from experiments.configs import quickstart
from experiments.configs.schema import ExperimentConfig, from_config
from experiments.pipeline import device_mesh


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    return from_config(quickstart.get_config())


# 16 frames of SFT, 96 episodes and minibatches of 288 chunks: 16 divides all.
@pytest.mark.parametrize("limit, count", [(0, 1), (1, 1), (3, 2), (6, 4), (100, 16)])
def test_the_count_divides_every_batch(
    config: ExperimentConfig, limit: int, count: int
) -> None:
    assert device_mesh.largest_divisor(config, limit=limit) == count


def test_a_stage_left_out_does_not_count(config: ExperimentConfig) -> None:
    online = dataclasses.replace(config, stages=("online",))
    assert device_mesh.largest_divisor(online, limit=100) == 96


def test_one_device_needs_no_mesh(config: ExperimentConfig) -> None:
    assert device_mesh.make_mesh(config, data=1) is None


def test_too_many_devices_are_refused(config: ExperimentConfig) -> None:
    count = jax.device_count() + 1
    with pytest.raises(ValueError, match=f"needs {count} devices"):
        device_mesh.make_mesh(config, data=count)
