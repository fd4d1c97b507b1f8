"""Initial joints against LIBERO-Plus' loop over NumPy's generator."""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.world.perturbations import robot


def test_published_offsets_are_the_stream_of_numpy():
    random = np.random.RandomState(42)
    for number, offset in enumerate(robot.published_offsets()):
        drawn = random.randn(7)
        radius = (0.1, 0.2, 0.3, 0.4, 0.5)[number // 100]
        np.testing.assert_array_equal(offset, drawn / np.linalg.norm(drawn) * radius)
    # The published file's first state, which it prints with eight digits.
    home = [0, -1.61037389e-01, 0, -2.44459747, 0, 2.22675220, np.pi / 4]
    first = home + robot.published_offsets()[0]
    np.testing.assert_allclose(first[:2], [0.02097405, -0.16687568], atol=1e-8)


def test_severity_is_the_radius_and_splits_are_apart():
    keys = jax.random.split(jax.random.key(0), 400)
    active = jnp.arange(400)[:, None] % 2 == 0
    octants = {}
    for split in ("training", "held_out"):
        arm, goal = robot.draw(keys, active, severity=0.4, split=split)
        np.testing.assert_array_equal(arm, goal)
        norm = np.linalg.norm(arm, axis=1)
        np.testing.assert_allclose(norm[::2], 0.2, rtol=1e-5)
        assert (norm[1::2] == 0).all()
        octants[split] = {tuple(row) for row in np.asarray(arm[::2, :3] > 0)}
    assert len(octants["training"]) == 5 and len(octants["held_out"]) == 3
    assert not octants["training"] & octants["held_out"]
