"""What a trained policy costs when it acts: its parameters, and the time of a chunk."""

import statistics
import time
from typing import Any

import jax
import numpy as np

from omnivla_jax.policy.inference import Policy

REPEATS = 20


def measure(policy: Policy) -> dict[str, Any]:
    """Count the parameters and time one observation after another.

    Args:
      policy: compiled by its first call here.

    Returns:
      `parameters`, and `latency_ms`, the median of REPEATS calls of `infer` with one
      observation, from host arrays to host arrays.
    """
    config = policy.spec.config
    size = config.vision.image_size
    observation = {
        "images": np.zeros((config.views, size, size, 3), np.uint8),
        "state": np.zeros(config.robot_proprio_dim, np.float32),
        "prompt": (policy.spec.instructions or ("reach",))[0],
    }
    policy.infer(observation)
    seconds = []
    for number in range(REPEATS):
        begin = time.perf_counter()
        policy.infer(observation, key=jax.random.key(number))
        seconds.append(time.perf_counter() - begin)
    return {
        "parameters": policy.num_parameters,
        "latency_ms": 1000 * statistics.median(seconds),
    }
