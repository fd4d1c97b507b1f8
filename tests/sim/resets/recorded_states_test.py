"""Tests of sim.resets.recorded_states: LIBERO's rows find their joints in any scene."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import state_files
from omnivla_jax.sim.resets import recorded_states


def _numbered(own):
    """Entries of `qpos` and `qvel` that name their position."""
    return jnp.arange(own.model.nq)[None] + 0.5, jnp.arange(own.model.nv)[None] + 0.5


@pytest.mark.parametrize("suite, task", [("libero_object", 4), ("libero_10", 3)])
def test_every_joint_of_the_task_keeps_its_value(suite, task):
    own, everything = scenes.make(suite, tasks=(task,)), scenes.make(suite)
    qpos, qvel = _numbered(own)
    wide, fast = recorded_states.to_scene(everything, jnp.array([task]), qpos, qvel)
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
    wide, fast = recorded_states.to_scene(scene, jnp.array([4]), *_numbered(own))
    absent = [name for name in scene.assets.objects if name not in own.assets.objects]
    assert absent
    for name in absent:
        q, v = scene.joints[f"{name}_joint0"]
        assert float(wide[0, q]) >= 20.0
        np.testing.assert_array_equal(fast[0, v : v + 6], 0.0)


def test_the_scene_s_own_layout_passes_through(scene):
    qpos, qvel = _numbered(scene)
    same = recorded_states.to_scene(scene, jnp.array([0]), qpos, qvel)
    np.testing.assert_array_equal(same[0], qpos)
    np.testing.assert_array_equal(same[1], qvel)


def test_other_widths_name_those_that_fit():
    scene = scenes.make("libero_10")
    for widths, words in (
        ((40, 36), r"40 entries.*154.*23, 24, 26"),
        ((154, 5), "qvel has 5"),
    ):
        qpos, qvel = (jnp.zeros((1, width)) for width in widths)
        with pytest.raises(ValueError, match=words):
            recorded_states.to_scene(scene, jnp.array([0]), qpos, qvel)


def _widths(scene, task):
    """`nq` and `nv` of LIBERO's model of a task, counted in the task itself."""
    own = scenes.make(scene.suite.name, tasks=(task,), engine="mujoco")
    return own.model.nq, own.model.nv


@pytest.mark.parametrize("suite", ["libero_goal", "libero_10"])
def test_from_scene_undoes_to_scene_on_every_task(suite):
    scene, rng = scenes.make(suite, engine="mujoco"), np.random.default_rng(0)
    for task in range(len(scene.tasks)):
        nq, nv = _widths(scene, task)
        qpos, qvel = (
            jnp.asarray(rng.normal(size=(3, n)), jnp.float32) for n in (nq, nv)
        )
        wide = recorded_states.to_scene(scene, jnp.full(3, task), qpos, qvel)
        assert wide[0].shape[1] == scene.model.nq
        back = recorded_states.from_scene(scene, task, *wide)
        np.testing.assert_array_equal(back[0], qpos)
        np.testing.assert_array_equal(back[1], qvel)


def test_a_state_survives_a_file_of_libero_s(tmp_path):
    scene, rng = scenes.make("libero_10", engine="mujoco"), np.random.default_rng(0)
    nq, nv = _widths(scene, 3)
    task = jnp.full(2, 3)

    @compilation.jit
    def restore(qpos, qvel):
        return env.restore(scene, task, qpos, qvel)

    qpos, qvel = (rng.normal(size=(2, n)).astype(np.float32) for n in (nq, nv))
    state = restore(qpos, qvel)
    rows = recorded_states.to_rows(scene, 3, state)
    assert rows.dtype == np.float64 and rows.shape == (2, 1 + nq + nv)
    path = state_files.write(tmp_path / "mine.pruned_init", rows)
    again = recorded_states.split_rows(scene, 3, state_files.read(path))
    back = restore(*(part.astype(np.float32) for part in again))
    np.testing.assert_array_equal(back.physics.qpos, state.physics.qpos)
    np.testing.assert_array_equal(back.physics.qvel, state.physics.qvel)


def test_rows_of_another_task_or_width_are_refused():
    scene = scenes.make("libero_10", tasks=(2, 3), engine="mujoco")
    with pytest.raises(ValueError, match=r"shape \(1, 50\).*task 3.*51 entries"):
        recorded_states.split_rows(scene, 3, np.zeros((1, 50)))
    with pytest.raises(ValueError, match=r"Task 5 is not in this scene.*\[2, 3\]"):
        recorded_states.split_rows(scene, 5, np.zeros((1, 45)))
    nq, nv = _widths(scene, 3)
    with pytest.raises(ValueError, match=r"of tasks \[2\], but of 3"):
        recorded_states.to_scene(
            scene, jnp.array([3, 2]), jnp.zeros((2, nq)), jnp.zeros((2, nv))
        )
    traced = jax.jit(
        lambda task: recorded_states.to_scene(
            scene, task, jnp.zeros((2, nq)), jnp.zeros((2, nv))
        )[0]
    )(jnp.array([3, 2]))
    assert not np.isnan(traced[0]).any() and np.isnan(traced[1, :9]).all()
