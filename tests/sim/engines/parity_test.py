"""MJX against C MuJoCo, attribute by attribute: two engines behind one contract."""

import dataclasses

import chex
import jax
import jax.export
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from experiments.benchmarks.lib import libero_recordings
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines import mujoco as engine_mujoco
from omnivla_jax.sim.engines.mjx import engine as engine_mjx
from omnivla_jax.sim.engines.mjx import stages
from omnivla_jax.sim.engines.mjx.contact import tables
from omnivla_jax.sim.goals import predicates

pytestmark = pytest.mark.slow

BATCH = 2
STEPS = 8
ACTION = jnp.tile(jnp.array([0.3, 0.5, 0.5, 0.1, 0.0, 0.2, 1.0]), (BATCH, 1))
# Resting contacts make the objects' speeds noisy; the arm itself agrees to 1e-6.
TOLERANCES = {
    "qpos": 1e-3,
    "xpos": 1e-3,
    "xquat": 1e-3,
    "goal_pos": 1e-3,
    "goal_mat": 1e-3,
    "gripper": 1e-6,
    "fixture_pos": 0.0,
    "fresh": 0.0,
    "touching": 0.0,
    "overflow": 0.0,
}
# Row 1 drops the bowl 4 mm onto the plate: how it rocks depends on the last bits, so
# on the CPU's vector width. 0.005 of a quaternion is half a degree. In two Newton
# iterations the arm's joint friction shares the line search of that landing.
LANDING = {"qpos": 5e-3, "xquat": 5e-3, "goal_mat": 5e-3}
MARGIN, NEVER = 20, -1  # control steps: how long after its recording one may succeed


@pytest.fixture(scope="module")
def mjx_scene():
    return scenes.make("libero_goal", engine="mjx")


@pytest.fixture(scope="module")
def start(scene, settled):
    """Two settled episodes; in the second the bowl has been put on the plate."""
    physics = jax.tree.map(lambda leaf: leaf[:BATCH], settled.physics)
    bowl, plate = (
        scene.joints[f"{n}_joint0"][0] for n in ("akita_black_bowl_1", "plate_1")
    )
    seat = physics.qpos[1, plate : plate + 3] + jnp.array([0.0, 0.0, 0.0037])
    qpos = physics.qpos.at[1, bowl : bowl + 3].set(seat)
    moved = dataclasses.replace(physics, qpos=qpos)
    return engine_mujoco.forward(scene, moved, settled.task[:BATCH])


def _compiled(engine, scene):
    chex.clear_trace_counter()  # it takes the two engines' programs for one

    @chex.assert_max_traces(n=1)
    def control_step(physics, active, action):
        task = jnp.arange(BATCH)  # all of libero_goal's have the same objects
        return engine.control_step(scene, physics, task, action, active)

    return compilation.jit(control_step)


@pytest.fixture(scope="module")
def mjx_step(mjx_scene):
    return _compiled(engine_mjx, mjx_scene)


@pytest.fixture(scope="module")
def moved(scene, mjx_step, start):
    """The same motion, before anything is touched, in both engines: C's first."""
    results = []
    for program in (_compiled(engine_mujoco, scene), mjx_step):
        physics = start
        for _ in range(STEPS):
            physics = program(physics, jnp.ones(BATCH, bool), ACTION)
        results.append(physics)
    return results


@pytest.mark.parametrize(
    ("suite", "budget"),
    [
        ("libero_goal", tables.BUDGET_TABLE),
        ("libero_10", tables.BUDGET_GROUPED),
        ("libero_spatial", tables.BUDGET_STACKED),
    ],
)
def test_the_fullest_task_gives_the_contact_budget(suite, budget):
    model = stages.step_model(scenes.make(suite, engine="mjx"))
    assert model.contacts.budget == budget


@pytest.mark.parametrize("name", TOLERANCES)
def test_control_steps_agree(moved, name):
    expected, actual = (np.asarray(getattr(p, name), np.float32) for p in moved)
    limits = (TOLERANCES[name], LANDING.get(name, TOLERANCES[name]))
    for ours, theirs, limit in zip(actual, expected, limits, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=limit, err_msg=name)


def test_the_arm_agrees_closely_and_has_moved(start, moved):
    expected, actual = moved
    # Row 1 is held to 1e-3 only: in two Newton iterations the bowl's landing, where
    # the engines' contacts differ, shares a line search with the arm's joint friction.
    # In row 0 it is the wrist, the lightest joint, that differs by 2e-4.
    for name, limit in (("qpos", 3e-4), ("qvel", 1e-3)):
        ours, theirs = (getattr(p, name)[0, :9] for p in (actual, expected))
        np.testing.assert_allclose(ours, theirs, atol=limit, err_msg=name)
    assert float(jnp.abs(actual.qpos - start.qpos)[:, :7].max()) > 0.1


def test_the_controller_sleeps_through_the_first_update(scene, mjx_step, start):
    """After a restore only gravity is held for one substep: both engines lag alike."""
    everyone, ends = jnp.ones(BATCH, bool), []
    for program in (_compiled(engine_mujoco, scene), mjx_step):
        awake, fresh = (
            program(dataclasses.replace(start, fresh=flags), everyone, ACTION)
            for flags in (~everyone, everyone)
        )
        assert not np.any(fresh.fresh)
        ends.append(fresh.qpos[0, :7])
        lag = jnp.abs(awake.qpos - fresh.qpos)[:, :7].max(axis=1)
        assert np.all(lag > 1e-4), lag
    theirs, ours = ends
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_poses_and_contacts_of_a_state_agree(scene, mjx_scene, start):
    program = compilation.jit(
        lambda physics: engine_mjx.forward(mjx_scene, physics, jnp.arange(BATCH))
    )
    blank = dataclasses.replace(
        start,
        xpos=jnp.zeros_like(start.xpos),
        xquat=jnp.zeros_like(start.xquat),
        touching=jnp.zeros_like(start.touching),
    )
    actual = program(blank)
    np.testing.assert_allclose(actual.xpos, start.xpos, atol=1e-5, err_msg="xpos")
    np.testing.assert_allclose(actual.xquat, start.xquat, atol=1e-5, err_msg="xquat")
    np.testing.assert_array_equal(actual.touching, start.touching)
    pair = scene.contact_pairs.index(("akita_black_bowl_1", "plate_1"))
    np.testing.assert_array_equal(actual.touching[:, pair], [False, True])


def test_mjx_keeps_rows_apart(mjx_step, start):
    everyone = jnp.ones(BATCH, bool)
    clean = mjx_step(start, everyone, ACTION)
    poisoned = dataclasses.replace(start, qvel=start.qvel.at[0].set(jnp.nan))
    after = mjx_step(poisoned, everyone, ACTION)
    assert not np.any(np.isfinite(after.qvel[0]))
    for other in (after, mjx_step(start, jnp.array([False, True]), ACTION)):
        ours, theirs = (jax.tree.map(lambda x: x[1], p) for p in (other, clean))
        chex.assert_trees_all_equal(ours, theirs)
    first = jax.tree.map(lambda x: x[0], (other, start))
    chex.assert_trees_all_equal(*first)  # an inactive row stays as it is


def test_copies_move_alike_beside_other_neighbours(mjx_step, start):
    everyone = jnp.ones(BATCH, bool)
    copies = jax.tree.map(lambda leaf: jnp.repeat(leaf[1:], BATCH, axis=0), start)
    alike = mjx_step(copies, everyone, ACTION)
    apart = mjx_step(copies, everyone, ACTION.at[1].set(-ACTION[1]))
    first, second = (jax.tree.map(lambda leaf: leaf[row], alike) for row in (0, 1))
    chex.assert_trees_all_equal(first, second)
    chex.assert_trees_all_equal(first, jax.tree.map(lambda leaf: leaf[0], apart))
    assert float(jnp.abs(apart.qpos[1] - apart.qpos[0]).max()) > 1e-3


def test_mass_matrix_and_bias_agree(scene, mjx_scene, moved):
    physics, model = moved[1], stages.step_model(mjx_scene)
    jointed = model.active.jointed

    def probe(physics):
        data = stages.start(model, physics, jnp.arange(BATCH))
        data = stages.smooth_dynamics(model, stages.kinematics(model, data))
        mass = jnp.moveaxis(data.tree_dynamics.mass, -1, 0)
        return mass, engine_mjx.read_arm(model, data)

    mass, arm = compilation.jit(probe)(physics)
    for row in range(BATCH):
        data = mujoco.MjData(scene.model)
        data.qpos[:], data.qvel[:] = physics.qpos[row], physics.qvel[row]
        mujoco.mj_forward(scene.model, data)
        full = np.zeros((scene.model.nv, scene.model.nv))
        mujoco.mj_fullM(scene.model, data, full)
        own = full[np.ix_(jointed.velocities, jointed.velocities)]
        np.testing.assert_allclose(mass[row], own, atol=1e-4, err_msg="mass")
        np.testing.assert_allclose(
            arm.bias[:, row], data.qfrc_bias[:7], atol=1e-3, err_msg="bias"
        )


def _recorded_start(scene, chosen):
    """The batch of recorded initial states, fixtures where they stood."""
    task = jnp.array([episode.task for episode in chosen])
    fixtures = {
        name: (
            jnp.array([episode.fixtures[name][0] for episode in chosen]),
            jnp.array([episode.fixtures[name][1] for episode in chosen]),
        )
        for name in chosen[0].fixtures
    }
    still = jnp.zeros((BATCH, scene.model.nv))
    restore = compilation.jit(
        lambda qpos: env.restore(scene, task, qpos, still, fixtures=fixtures)
    )
    return restore(jnp.array([episode.qpos for episode in chosen])).physics


def test_recorded_episodes_have_the_same_verdict(mjx_scene, mjx_step):
    """The plate is pushed and the knob turned, each by its own actions alone.

    On which step is not held: after contact float32 is chaotic, and other processors
    round otherwise.
    """
    episodes = list(libero_recordings.episodes())
    pushed, turned = (
        next(e for e in episodes if (e.suite, e.task) == ("libero_goal", row))
        for row in (5, 7)
    )
    chosen = (pushed, turned)
    task = jnp.array([episode.task for episode in chosen])
    physics = _recorded_start(mjx_scene, chosen)
    goals_satisfied = jax.jit(
        lambda physics: [
            predicates.success(mjx_scene, physics, goal) for goal in (task, task[::-1])
        ]
    )
    lengths = np.array([len(episode.actions) for episode in chosen])
    own, others = [], []
    for step in range(lengths.max() + MARGIN):
        rows = [e.actions[min(step, len(e.actions) - 1)] for e in chosen]
        physics = mjx_step(physics, jnp.ones(BATCH, bool), jnp.array(rows))
        reached, reached_other = goals_satisfied(physics)
        own.append(np.asarray(reached))
        others.append(np.asarray(reached_other))
        if np.any(own, axis=0).all():
            break
    first = np.where(np.any(own, axis=0), np.argmax(own, axis=0) + 1, NEVER)
    recorded = np.array([episode.success_step for episode in chosen])
    # Nothing moves by itself: LIBERO's hand has barely arrived by half its steps.
    assert np.all(first > recorded / 2), first
    assert np.all(first <= lengths + MARGIN), first
    assert not np.any(others), "the other episode's goal was reached"
    np.testing.assert_array_equal(physics.overflow, 0)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_it_lowers_for_accelerators(mjx_step, start, platform):
    export = jax.export.export(mjx_step, platforms=(platform,))
    exported = export(start, jnp.ones(BATCH, bool), ACTION)  # the same trace
    assert exported.platforms == (platform,)
    kernels = "tpu_custom_call" in exported.mlir_module()
    assert kernels == (platform == "tpu")
