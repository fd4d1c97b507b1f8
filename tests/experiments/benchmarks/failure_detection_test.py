"""Tests of experiments.benchmarks.failure_detection, on episodes made up."""

import numpy as np
import pytest

from experiments.pipeline.selector_fitting import PlayedEpisodes
from omnivla_jax.policy.selectors.perceptron import FitConfig
from tests.helpers import launchers

failure_detection = launchers.imported("experiments.benchmarks.failure_detection")

COUNT, DECISIONS, EXECUTED = 900, 6, 8


def episodes():
    """Failures differ from their third decision on; successes end after four."""
    rng = np.random.default_rng(0)
    success = rng.uniform(size=COUNT) < 0.8
    features = rng.normal(size=(COUNT, DECISIONS, 4)).astype(np.float32)
    features[:, 2:, 0] += 12.0 * ~success[:, None]
    steps = np.where(success, 4 * EXECUTED - 3, DECISIONS * EXECUTED)
    valid = np.arange(DECISIONS) * EXECUTED < steps[:, None]
    return PlayedEpisodes(features, success, valid, steps.astype(np.float32))


def test_clear_failures_are_caught_and_successes_left_alone():
    rows = failure_detection.detector_report(
        episodes(),
        fitted=200,
        calibrated=300,
        alphas=(0.1, 0.3),
        config=FitConfig(width=8, steps=150, batch_size=64, learning_rate=1e-2),
    )
    for row in rows:
        assert row["successes"] + row["failures"] == COUNT - 500
        assert row["coverage"] == pytest.approx(1 - row["alpha"], abs=0.06)
        assert row["detection_rate"] > 0.95
        # Flagged at the third or fourth of six decisions, of eight steps each.
        assert row["lead_steps"] in (24.0, 32.0)
