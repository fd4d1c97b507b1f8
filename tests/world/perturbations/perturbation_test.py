"""Perturbed episodes in other engines: the poses, contacts and room of C MuJoCo's."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines import mjx_warp
from omnivla_jax.sim.engines import mujoco as c_mujoco
from omnivla_jax.sim.engines.mjx import engine as mjx_engine
from omnivla_jax.world.perturbations import kinds, layout, perturbation

TASK = jnp.array([8, 8])
NAMES = ("camera.elevation", "robot", "layout")


def make(engine):
    return scenes.make(
        "libero_goal", tasks=(8,), engine=engine, extras=layout.DISTRACTORS
    )


@pytest.fixture(scope="module")
def crowded():
    return make("mujoco")


@pytest.fixture(scope="module")
def started(crowded):
    """Two settled episodes with all that belongs to physics, as severe as it gets."""
    keys = jax.random.split(jax.random.key(0), len(TASK))
    chosen = jnp.isin(jnp.arange(len(kinds.KINDS)), jnp.array(kinds.rows(NAMES)))
    change = perturbation.draw(crowded, keys, jnp.tile(chosen, (len(TASK), 1)))

    def begin(change):
        placed = env.place(crowded, TASK, keys, change.layout.change)
        state = perturbation.begin(crowded, placed, change)
        # After a step poses are of its last substep's start, and the arm still moves.
        physics = c_mujoco.forward(crowded, state.physics, TASK)
        return dataclasses.replace(state, physics=physics)

    return compilation.jit(begin)(change)


@pytest.mark.slow
def test_mjx_knows_distractors_and_moved_cameras(crowded, started):
    mjx_scene, physics = make("mjx"), started.physics
    cleared = {
        name: jnp.zeros_like(getattr(physics, name))
        for name in ("xpos", "xquat", "touching")
    }
    program = compilation.jit(lambda state: mjx_engine.forward(mjx_scene, state, TASK))
    again = program(dataclasses.replace(physics, **cleared))
    np.testing.assert_allclose(again.xpos, physics.xpos, atol=1e-5)
    np.testing.assert_allclose(again.xquat, physics.xquat, atol=1e-5)
    np.testing.assert_array_equal(again.touching, physics.touching)
    assert program._cache_size() == 1


def test_distractors_leave_room_for_contacts(crowded, started):
    extras = [crowded.bodies[name] for name in crowded.extras]
    stands = np.asarray(started.physics.xpos)[:, extras, 0] < 1
    assert stands.all() and not started.diverged.any()
    for row in range(len(TASK)):
        model, data = c_mujoco.single(crowded, crowded.model, started.physics, row)
        mujoco.mj_forward(model, data)
        assert 4 * len(extras) < data.ncon < mjx_warp.MAX_CONTACTS
        assert data.nefc < mjx_warp.MAX_ROWS
