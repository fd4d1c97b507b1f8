"""Tests of benchmarks.streaming: its dataset is LIBERO's form, its report is whole."""

import numpy as np
import pytest

from data_pipelines.readers import READERS, detect
from experiments.benchmarks import streaming
from experiments.benchmarks.lib import synthetic_lerobot


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    synthetic_lerobot.write(folder, frames=130, side=16)
    return folder


def test_the_synthetic_dataset_has_liberos_form(path):
    assert detect(path) == "lerobot"
    episodes = list(READERS["lerobot"](path))
    length = synthetic_lerobot.LENGTH
    assert [e.images.shape for e in episodes] == [(length, 2, 16, 16, 3)] * 2
    assert [e.instruction for e in episodes] == list(synthetic_lerobot.TASKS[:2])
    assert episodes[0].state.shape == (length, 8)
    first, second = (np.asarray(e.images) for e in episodes)
    assert first.std() > 10 and (first != second).any()


def test_the_stream_reports_its_speed_and_memory(path):
    pytest.importorskip("grain")
    found = streaming.stream_alone(path, 1280)
    assert found["frames"] == 2 * synthetic_lerobot.LENGTH
    assert found["frames_per_second"] > 0
    rate, cost = found["frames_per_processor_second"], found["processor_ms_per_frame"]
    assert rate * cost == pytest.approx(1000)
    assert streaming.pillow_ms_per_frame(path, count=10) > 0
