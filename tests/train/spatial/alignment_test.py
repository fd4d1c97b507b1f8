"""The scale of Pi3's alignment against brute force."""

import jax.numpy as jnp
import numpy as np

from omnivla_jax.train.spatial import alignment


def test_the_scale_minimises_the_weighted_distance():
    random = np.random.default_rng(1)
    true = random.uniform(0.5, 2, (3, 2, 3, 6, 6)).astype(np.float32)
    predicted = true * random.uniform(0.2, 0.9, true.shape).astype(np.float32)
    valid = random.random((3, 2, 6, 6)) < 0.8
    scale = alignment._best_scale(
        jnp.asarray(predicted), jnp.asarray(true), jnp.asarray(valid)
    )
    depth = true[:, :, 2]
    for b in range(3):
        mean = depth[b][valid[b]].mean()
        weight = 1 / (np.maximum(depth[b], 0.1 * mean) + 1e-6) * valid[b]

        def cost(s):
            return (weight[:, None] * np.abs(s * predicted[b] - true[b])).sum()

        # The minimum of a piecewise linear function lies at one of its corners.
        corners = (true[b] / predicted[b]).ravel()
        best = min(map(cost, corners))
        np.testing.assert_allclose(cost(float(scale[b])), best, rtol=1e-5)
