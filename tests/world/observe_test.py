"""Observations: images that follow the state, and LIBERO's state vector."""

import chex
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omnivla_jax.core import compile as compilation
from omnivla_jax.render import camera as cameras
from omnivla_jax.render import types
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.arenas import AGENT_FOVY, ARENAS
from omnivla_jax.world import observe, proprioception, visual_scene

SIZE = 32


@pytest.fixture(scope="module")
def observation(scene, visuals, settled):
    tokens = jnp.ones((settled.task.shape[0], 4), jnp.int32)

    @chex.assert_max_traces(n=1)
    def run(state):
        mask = jnp.ones_like(tokens, bool)
        return observe.observe(scene, visuals, state, tokens, mask, size=SIZE)

    program = compilation.jit(run)
    program(settled)
    return program(settled)


def test_shapes_and_contrast(observation, settled):
    batch = settled.task.shape[0]
    assert observation.images.shape == (batch, 2, SIZE, SIZE, 3)
    assert observation.images.dtype == jnp.uint8
    assert float(jnp.std(observation.images.astype(jnp.float32))) > 20
    assert observation.proprio.shape == (batch, 8)


def test_each_layout_looks_different(observation):
    for view in range(2):
        assert not np.array_equal(
            observation.images[0, view], observation.images[1, view]
        )


def test_the_state_vector_is_liberos(scene, settled, observation):
    physics = settled.physics
    hand = np.asarray(physics.xquat)[:, scene.bodies[proprioception.HAND_BODY]]
    turned = Rotation.from_rotvec(np.asarray(observation.proprio[:, 3:6]))
    wanted = Rotation.from_quat(hand[:, [1, 2, 3, 0]])
    assert (turned * wanted.inv()).magnitude().max() < 1e-3
    grip = np.asarray(physics.xpos)[:, scene.bodies[panda.EEF_BODY]]
    np.testing.assert_allclose(observation.proprio[:, :3], grip)
    np.testing.assert_allclose(observation.proprio[:, 6:], physics.qpos[:, 7:9])


def test_the_fixed_camera_is_mujocos(scene, visuals, settled):
    """Project the bowl as OpenGL would from LIBERO's camera pose."""
    agent = visual_scene.mounted_camera(visuals.cameras[0], settled.physics)
    one = types.Camera(*(leaf[0] for leaf in agent))
    bowl = settled.physics.xpos[0, scene.bodies["akita_black_bowl_1"]]
    column, row, depth = np.asarray(cameras.project(one, bowl, size=SIZE))
    arena, matrix = ARENAS[scene.tasks[0].arena], np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.array(arena.camera_quaternion))
    local = matrix.reshape(3, 3).T @ (np.asarray(bowl) - arena.camera_position)
    scale = SIZE / 2 / np.tan(np.radians(AGENT_FOVY) / 2) / -local[2]
    wanted = [SIZE / 2 + local[0] * scale, SIZE / 2 - local[1] * scale, -local[2]]
    np.testing.assert_allclose([column, row, depth], wanted, atol=1e-3)


def test_the_wrist_camera_rides_on_the_hand(scene, visuals, settled):
    wrist = visual_scene.mounted_camera(visuals.cameras[1], settled.physics)
    hand = settled.physics.xpos[:, scene.bodies["right_hand"]]
    reach = jnp.linalg.norm(wrist.position - hand, axis=-1)
    np.testing.assert_allclose(reach, 0.05, atol=1e-4)
    forward = -wrist.rotation[:, :, 2]
    assert float(forward[:, 2].max()) < -0.9  # looks down at the table


def test_every_visible_geom_has_a_primitive_and_material(scene, visuals):
    count = sum(getattr(visuals.shapes, kind).body.shape[0] for kind in types.KINDS)
    assert count == int((scene.visual_model.geom_group == 0).sum())
    used = {scene.visual_model.mat(i).name for i in range(scene.visual_model.nmat)}
    assert used <= set(visual_scene.MATERIALS)


@pytest.fixture(scope="module")
def few(settled):
    """The bodies of four episodes: enough where a program is drawn many times."""
    return jax.tree.map(lambda leaf: leaf[:4], settled.physics)


@pytest.mark.slow
def test_cameras_lights_and_materials_are_data(visuals, few):
    """One program for all visuals."""

    @chex.assert_max_traces(n=1)
    def run(visuals, physics):
        return observe.images(visuals, physics, size=SIZE, shadows=True)

    program = compilation.jit(run)
    visuals = jax.tree.map(jnp.asarray, visuals)
    plain = program(visuals, few)
    (agent, wrist), lights, materials = (
        visuals.cameras,
        visuals.lights,
        visuals.materials,
    )
    turned = agent._replace(fovy=agent.fovy * 0.6)
    for other in (
        visuals._replace(cameras=(turned, wrist)),
        visuals._replace(lights=lights._replace(position=lights.position - 1)),
        visuals._replace(lights=lights._replace(diffuse=lights.diffuse * 0.5)),
        visuals._replace(materials=materials._replace(scale=materials.scale * 2)),
    ):
        changed = program(other, few)
        assert not np.array_equal(changed[:, 0], plain[:, 0])
    np.testing.assert_array_equal(  # the wrist camera kept its view
        program(visuals._replace(cameras=(turned, wrist)), few)[:, 1],
        plain[:, 1],
    )


@pytest.mark.slow
def test_each_environment_may_have_its_own_camera(visuals, few, observation):
    batch = few.xpos.shape[0]
    agent, wrist = visuals.cameras
    offset = jnp.linspace(0, 0.3, batch)[:, None] * jnp.array([0.0, 1.0, 0.0])
    own = agent._replace(position=offset, fovy=jnp.linspace(45, 60, batch))
    moved = visuals._replace(cameras=(own, wrist))
    placed, plain = (
        visual_scene.mounted_camera(mount, few) for mount in (moved.cameras[0], agent)
    )
    shift = jnp.linalg.norm(placed.position - plain.position, axis=-1)
    np.testing.assert_allclose(shift, jnp.linspace(0, 0.3, batch), atol=1e-5)
    program = compilation.jit(lambda p: observe.images(moved, p, size=SIZE))
    drawn, shared = np.asarray(program(few), float), observation.images[:batch]
    change = np.abs(drawn - shared).mean((2, 3, 4))
    assert change[:, 1].max() < 0.1  # the wrist camera is the same for all
    assert change[0, 0] < 0.1 and (change[1:, 0] > 1).all()


@pytest.mark.slow
def test_corruption_changes_the_agent_view_alone(
    scene, visuals, settled, observation, monkeypatch
):
    monkeypatch.setattr(observe, "images", lambda *_, **__: observation.images)
    batch = settled.task.shape[0]
    tokens = jnp.ones((batch, 4), jnp.int32)
    numbers = jnp.where(jnp.arange(batch) % 2 == 0, 0, 5 * (jnp.arange(batch) % 10))

    @chex.assert_max_traces(n=1)
    def run(numbers, key):
        corruption = observe.ImageCorruption(numbers, jax.random.split(key, batch))
        mask = jnp.ones_like(tokens, bool)
        return observe.observe(
            scene, visuals, settled, tokens, mask, size=SIZE, corruption=corruption
        ).images

    program = compilation.jit(run)
    corrupted = np.asarray(program(numbers, jax.random.key(0)))
    np.testing.assert_array_equal(corrupted[:, 1], observation.images[:, 1])
    clean = np.asarray(numbers) == 0
    np.testing.assert_array_equal(corrupted[clean, 0], observation.images[clean, 0])
    change = np.abs(corrupted[:, 0].astype(float) - observation.images[:, 0]).mean(
        (1, 2, 3)
    )
    assert (change[~clean] > 1).all()
    program(0 * numbers, jax.random.key(1))
    with pytest.raises(ValueError, match=r"Unknown corruptions \[51\]"):
        keys = jax.random.split(jax.random.key(0), batch)
        observe.corrupt_images(
            observation.images, observe.ImageCorruption(numbers.at[0].set(51), keys)
        )
