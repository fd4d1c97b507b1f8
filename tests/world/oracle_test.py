"""Our images against MuJoCo's own renderer: the same MJCF, poses and cameras."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.lib import mujoco_renderer
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env, rotation
from omnivla_jax.sim import scene as scenes
from omnivla_jax.world import observe, visual_scene
from omnivla_jax.world.perturbations import camera
from omnivla_jax.world.perturbations.camera import CameraShift

pytestmark = pytest.mark.slow

SIZE = 128
OUTPUTS = ("depth", "normal", "segmentation")
ARENAS = {
    "tabletop": ("libero_goal", 0),
    "floor": ("libero_object", 0),
    "kitchen": ("libero_10", 2),
    "living_room": ("libero_10", 4),
    "study": ("libero_10", 5),
}


# The arena's own camera, and LIBERO-Plus' H, V, S, R, E.
NOMINAL = (0.0, 0.0, 100.0, 0.0, 0.0)
SHIFTS = {"around": (40.0, 15.0, 100.0, 0.0, 0.0), "away": (0.0, 0.0, 150.0, 6.0, -8.0)}
CAMERAS = [
    *((arena, NOMINAL) for arena in ARENAS),
    *(("tabletop", shift) for shift in SHIFTS.values()),
]


@pytest.fixture(
    scope="module", params=CAMERAS, ids=[*ARENAS, *(f"tabletop {n}" for n in SHIFTS)]
)
def both(request):
    arena, shift = request.param
    suite, task = ARENAS[arena]
    scene = scenes.make(suite, tasks=(task,), engine="mujoco")
    assert scene.suite.tasks[task].arena == arena
    visuals = visual_scene.make(scene)

    def run():
        keys = jax.random.split(jax.random.key(1), 1)
        physics = env.reset(scene, jnp.array([task]), keys).physics
        change = CameraShift(*(jnp.array([number]) for number in shift))
        physics = camera.mount(scene, physics, change)
        cameras = [
            visual_scene.mounted_camera(mount, physics) for mount in visuals.cameras
        ]
        ours = observe.render_images(visuals, physics, size=SIZE, outputs=OUTPUTS)
        return ours, physics.xpos, rotation.matrix(physics.xquat, jnp), cameras

    ours, *posed = jax.tree.map(np.asarray, compilation.jit(run)())
    theirs = mujoco_renderer.draw(scene.visual_model, *posed, size=SIZE)
    if theirs is None:
        pytest.skip("neither EGL nor OSMesa loads: apt-get install libosmesa6")
    return ours, theirs, posed[-1]


def slopes(depth, fovy):
    """Unit normals [S - 2, S - 2, 3] in the camera's frame, by central differences."""
    side = (np.arange(SIZE) + 0.5) * (2 / SIZE) - 1
    side *= np.tan(np.radians(fovy) / 2)
    point = np.stack([side * depth, -side[:, None] * depth, -depth], axis=-1)
    across = point[1:-1, 2:] - point[1:-1, :-2]
    down = point[2:, 1:-1] - point[:-2, 1:-1]
    normal = np.cross(down, across)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def test_segmentation_agrees(both):
    ours, theirs, _ = both
    agree = (ours.segmentation == theirs.geom).mean((0, 2, 3))
    assert agree.min() > 0.985, agree


def test_depth_agrees(both):
    ours, theirs, _ = both
    same = ours.segmentation == theirs.geom
    error = np.abs(ours.depth - theirs.depth)
    assert np.median(error[same]) < 1e-3
    assert np.quantile(error[same], 0.99) < 2e-3


def test_normals_agree(both):
    ours, theirs, cameras = both
    same = ours.segmentation == theirs.geom
    for view, mounted in enumerate(cameras):
        wanted = slopes(theirs.depth[0, view], mounted.fovy[0])
        found = (ours.normal[0, view] @ mounted.rotation[0])[1:-1, 1:-1]
        geom, inner = theirs.geom[0, view], same[0, view][1:-1, 1:-1].copy()
        for shift in ((0, 1), (2, 1), (1, 0), (1, 2)):
            rows, columns = (slice(s, s + SIZE - 2) for s in shift)
            inner &= geom[rows, columns] == geom[1:-1, 1:-1]
        cosine = np.clip((found * wanted).sum(-1)[inner], -1, 1)
        assert np.degrees(np.median(np.arccos(cosine))) < 2.0
        assert (cosine > np.cos(np.radians(10))).mean() > 0.95
