"""Tests of omnivla_jax.sim.recorded: LIBERO's rows find their joints in any scene."""

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.sim import recorded
from omnivla_jax.sim import scene as scenes


def _numbered(own):
    """Entries of `qpos` and `qvel` that name their position."""
    return jnp.arange(own.model.nq)[None] + 0.5, jnp.arange(own.model.nv)[None] + 0.5


@pytest.mark.parametrize("suite, task", [("libero_object", 4), ("libero_10", 3)])
def test_every_joint_of_the_task_keeps_its_value(suite, task):
    own, everything = scenes.make(suite, tasks=(task,)), scenes.make(suite)
    qpos, qvel = _numbered(own)
    wide, fast = recorded.to_scene(everything, jnp.array([task]), qpos, qvel)
    assert wide.shape[1] == everything.model.nq > own.model.nq
    for name, (q, v) in own.joints.items():
        there_q, there_v = everything.joints[name]
        sizes = (7, 6) if name.endswith("_joint0") else (1, 1)
        np.testing.assert_array_equal(
            wide[0, there_q : there_q + sizes[0]], qpos[0, q : q + sizes[0]], name
        )
        np.testing.assert_array_equal(
            fast[0, there_v : there_v + sizes[1]], qvel[0, v : v + sizes[1]], name
        )


def test_what_the_task_lacks_is_parked_at_rest():
    scene, own = scenes.make("libero_object"), scenes.make("libero_object", tasks=(4,))
    wide, fast = recorded.to_scene(scene, jnp.array([4]), *_numbered(own))
    absent = [name for name in scene.stock.movables if name not in own.stock.movables]
    assert absent
    for name in absent:
        q, v = scene.joints[f"{name}_joint0"]
        assert float(wide[0, q]) >= 20.0
        np.testing.assert_array_equal(fast[0, v : v + 6], 0.0)


def test_the_scene_s_own_layout_passes_through(scene):
    qpos, qvel = _numbered(scene)
    same = recorded.to_scene(scene, jnp.array([0]), qpos, qvel)
    np.testing.assert_array_equal(same[0], qpos)
    np.testing.assert_array_equal(same[1], qvel)


def test_other_widths_name_those_that_fit():
    scene = scenes.make("libero_10")
    with pytest.raises(ValueError, match=r"40 entries.*154.*23, 24, 26"):
        recorded.to_scene(scene, jnp.array([0]), jnp.zeros((1, 40)), jnp.zeros((1, 36)))
    with pytest.raises(ValueError, match="qvel has 5"):
        recorded.to_scene(scene, jnp.array([0]), jnp.zeros((1, 154)), jnp.zeros((1, 5)))
