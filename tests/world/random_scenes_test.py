"""Random scenes: what they vary, what they keep, and that a key decides them alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.render.types import TEXTURES
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.assets.arenas import CAMERA_BODY
from omnivla_jax.sim.resets.region_tables import layout
from omnivla_jax.world import random_scenes
from omnivla_jax.world.perturbations import camera, kinds
from omnivla_jax.world.random_scenes import SceneRanges

COUNT = 48
PLAIN = SceneRanges(
    pool_share=0.0,
    moved_share=0.0,
    arm=0.0,
    camera_severity=0.0,
    light_severity=0.0,
    material_severity=0.0,
    nominal_share=0.0,
)


@pytest.fixture(scope="module")
def pool(scene):
    return random_scenes.make_pool(
        scene, jax.random.key(3), (1, 8), episodes=4, steps=16
    )


@pytest.fixture(scope="module")
def draw(scene, visuals, pool):
    program = compilation.jit(
        lambda keys, ranges: random_scenes.draw(
            scene, visuals, pool, keys, ranges=ranges, split="training"
        )
    )

    def run(keys, ranges):
        return program(keys, jax.tree.map(np.float32, ranges))

    yield run
    assert program._cache_size() == 1  # ranges are data


KEYS = jax.random.split(jax.random.key(5), COUNT)


def test_the_pool_holds_states_along_episodes(pool, scene):
    assert pool.task.tolist() == [1, 8, 1, 8] * 4
    assert pool.qpos.shape == (16, scene.model.nq)
    arms = np.asarray(pool.qpos).reshape(4, 4, -1)[:, :, : panda.NUM_JOINTS]
    assert (abs(arms[1:] - arms[:-1]).max(-1) > 0.01).all()


def test_plain_ranges_give_fresh_layouts(draw, scene, visuals):
    _, physics, varied = draw(KEYS, PLAIN)
    arm = physics.qpos[:, : panda.NUM_JOINTS] - panda.HOME
    assert abs(arm).max() < 0.12
    place = physics.xpos[:, scene.bodies[CAMERA_BODY]]
    np.testing.assert_allclose(place, np.broadcast_to(place[0], place.shape))
    for nominal, leaf in zip(visuals.materials, varied.materials):
        np.testing.assert_allclose(leaf, np.broadcast_to(nominal, leaf.shape))


def test_everything_varies(draw, scene):
    task, physics, varied = draw(KEYS, SceneRanges())
    assert set(np.asarray(task)) <= set(scene.task_ids) and len(set(task.tolist())) > 4
    place = np.asarray(physics.xpos[:, scene.bodies[CAMERA_BODY]])
    assert np.ptp(place, axis=0).min() > 0.2
    assert np.ptp(np.asarray(varied.materials.rgb), axis=0).min() > 0.3
    assert np.ptp(np.asarray(physics.qpos[:, 0])) > 0.3
    assert np.isfinite(physics.xpos).all() and np.isfinite(physics.qpos).all()


def test_nothing_held_out_is_drawn(draw, scene, visuals):
    _, physics, varied = draw(KEYS, SceneRanges(camera_kinds=(0.0, 0.0, 1.0, 0.0)))
    place = np.asarray(physics.xpos[:, scene.bodies[CAMERA_BODY]]) - camera.PIVOT
    reach = np.linalg.norm(place, axis=-1)
    percent = np.round(100 * reach / reach.min()).astype(int)  # the nominal is nearest
    moved = percent[percent > 100] - camera.DISTANCES[0]
    span = np.diff(camera.DISTANCES)[0] + 1
    assert len(moved) > COUNT / 2
    assert set(moved) <= set(kinds.allowed(span, "training", width=17))
    texture, nominal = varied.materials.texture, visuals.materials.texture
    swapped = np.asarray(texture)[np.asarray(texture != nominal)]
    assert len(swapped) > COUNT
    assert not set(swapped) & {TEXTURES.index("checker"), TEXTURES.index("tile")}


def test_moved_objects_stay_within_their_ranges(draw, scene):
    moved = PLAIN._replace(moved_share=1.0, lifted_share=0.0)
    before, after = draw(KEYS, PLAIN)[1], draw(KEYS, moved)[1]
    for name in scene.assets.objects:
        start = scene.joints[f"{name}_joint0"][0]
        shift = np.asarray(after.qpos - before.qpos)[:, start : start + 3]
        assert abs(shift[:, :2]).max() <= moved.displacement + 1e-6
        assert abs(shift[:, 2]).max() == 0
    tables = layout(scene)
    joints = [scene.joints[name][0] for name in tables.joint_names]
    opened = np.asarray(after.qpos)[:, joints]
    assert (np.ptp(opened, axis=0) > 0.05).all()
    lifted = draw(KEYS, moved._replace(lifted_share=1.0))[1]
    start = scene.joints[f"{list(scene.assets.objects)[0]}_joint0"][0]
    rise = np.asarray(lifted.qpos - before.qpos)[:, start + 2]
    assert rise.min() >= 0 and rise.max() > 0.1


def test_pool_states_are_drawn_unchanged(draw, pool):
    _, physics, _ = draw(KEYS, PLAIN._replace(pool_share=1.0))
    distance = abs(np.asarray(physics.qpos)[:, None] - np.asarray(pool.qpos)[None]).max(
        -1
    )
    assert distance.min(1).max() < 1e-6
    assert len(set(distance.argmin(1))) > 4


def test_a_scene_depends_on_its_key_alone(draw):
    ranges = SceneRanges()
    again = draw(jnp.roll(KEYS, 7), ranges)
    first = draw(KEYS, ranges)
    np.testing.assert_array_equal(
        np.roll(np.asarray(first[1].xpos), 7, axis=0), again[1].xpos
    )
