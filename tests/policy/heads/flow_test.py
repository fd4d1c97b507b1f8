"""Tests of the flow head's flow times."""

import jax
import numpy as np
from scipy import stats

from omnivla_jax.policy.heads import flow


def test_flow_times_follow_their_distribution():
    tau = flow.draw_tau(jax.random.key(0), (4000,)) / flow.TAU_LIMIT
    assert stats.kstest(np.asarray(tau), stats.beta(1, 1.5).cdf).pvalue > 0.01
