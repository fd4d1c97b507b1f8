"""Tests of omnivla_jax.sim.engines.mujoco_warnings: counted, once, in no file."""

import threading
import warnings

import jax
import jax.numpy as jnp
import mujoco
import mujoco.batch
import numpy as np
import pytest

from omnivla_jax.sim import env, mjcf
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines import mujoco_warnings

BOXES = """
<mujoco>
  <size memory="{memory}"/>
  <option><flag autoreset="disable"/></option>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body pos="0 0 .05"><freejoint/><geom type="box" size=".1 .1 .1"/></body>
    <body pos="0 0 .05"><freejoint/><geom type="box" size=".1 .1 .1"/></body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def said(monkeypatch, tmp_path):
    """What is warned of, as on a first run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mujoco_warnings, "_warned", set())
    mujoco_warnings.install()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
    assert not list(tmp_path.glob("MUJOCO_LOG*"))


def _batch(memory):
    model = mujoco.MjModel.from_xml_string(BOXES.format(memory=memory))
    return mujoco.batch.Batch(model, 3, persistent=True)


def test_a_full_memory_is_counted_in_every_simulation(said):
    batch = _batch("3K")
    batch.step()
    assert (batch.warning[:, mujoco_warnings.FULL, 1].sum(axis=1) > 0).all()
    assert not batch.warning[:, mujoco_warnings.UNSTABLE, 1].any()
    assert len(said) == 2 and "Too many contacts" in str(said[0].message)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e11])
def test_bad_numbers_are_counted_where_they_are(said, value):
    batch = _batch("1M")
    batch.bind("qvel")[1, 0] = value
    batch.step()
    unstable = batch.warning[:, mujoco_warnings.UNSTABLE, 1].any(axis=1)
    np.testing.assert_array_equal(unstable, [False, True, False])
    assert not batch.warning[:, mujoco_warnings.FULL, 1].any()
    assert len({str(one.message) for one in said}) == len(said) >= 1


def test_each_kind_is_warned_once_from_any_thread(said):
    texts = [f"Huge value in QACC at DOF {n}. Time = {n}.5000." for n in range(4)]
    target = mujoco_warnings.warn_once
    threads = [threading.Thread(target=target, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 1 and "Time" not in str(said[0].message)


def test_warnings_as_errors_stay_off_mujocos_threads(said):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mujoco_warnings.warn_once("anything")


def test_another_s_handler_stays(monkeypatch):
    def own(text):
        del text

    before = mujoco.get_mju_user_warning()
    try:
        mujoco.set_mju_user_warning(own)
        mujoco_warnings.install()
        assert mujoco.get_mju_user_warning() is own
    finally:
        mujoco.set_mju_user_warning(before)


@pytest.mark.slow
def test_the_engine_counts_contacts_without_memory(said, monkeypatch):
    """A scene whose memory holds a few of its contacts: counted, and finite."""
    set_options = mjcf._set_options

    def small(spec, preset):
        set_options(spec, preset)
        spec.memory = 60_000

    monkeypatch.setattr(mjcf, "_set_options", small)
    scene = scenes.make("libero_spatial", tasks=(5,), engine="mujoco")
    state = env.reset(scene, [5, 5], jax.random.split(jax.random.key(0), 2))
    after, _ = env.step(scene, state, jnp.zeros((2, 7)))
    broken = after.diverged | (after.physics.overflow > 0)
    assert broken.all() and said
    assert jnp.isfinite(after.physics.qpos).all()
