"""Images: projection, occlusion, outputs, batches and the number of traces."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile
from omnivla_jax.render import camera as camera_lib
from omnivla_jax.render import rays, types
from omnivla_jax.render.render import render

LOOK_DOWN = types.Camera(
    np.array([0, 0, 2], np.float32), np.eye(3, dtype=np.float32), np.float32(45)
)
SHAPES = types.make_shapes(
    [
        types.RenderPrimitive("plane", (0, 0)),
        types.RenderPrimitive("box", (0.1, 0.1, 0.1), 1, material=1),
        types.RenderPrimitive("sphere", (0.1,), 2, material=2, geom=40),
        types.RenderPrimitive("capsule", (0.05, 0.1), 0, (0, -0.4, 0.1), material=1),
    ]
)
MATERIALS = types.make_materials(
    [
        types.Material((0.6, 0.6, 0.6), (0.3, 0.3, 0.3), "checker"),
        types.Material((0.9, 0.1, 0.1)),
        types.Material((0.1, 0.1, 0.9), texture="wood"),
    ]
)
PLACES = np.array([[0, 0, 0], [0.4, 0.3, 0.1], [-0.4, 0.3, 0.1]], np.float32)
TURNS = jnp.tile(jnp.eye(3), (3, 1, 1))


@functools.partial(
    compile.jit, static_argnames=("size", "outputs", "supersample", "shadows")
)
def program(camera, places, materials, **options):
    return render(
        SHAPES, materials, types.DEFAULT_LIGHTS, camera, places, TURNS, **options
    )


def draw(camera=LOOK_DOWN, places=PLACES, materials=MATERIALS, **options):
    return program(camera, places, materials, **{"size": 32, **options})


def test_points_land_where_the_camera_projects_them():
    image = draw(size=65, outputs=types.OUTPUTS)
    for body, geom in ((1, 1), (2, 40)):
        column, row, _ = camera_lib.project(LOOK_DOWN, PLACES[body], size=65)
        assert image.segmentation[int(row), int(column)] == geom
    # +y is up and +x right: the red box is at the top right.
    red = np.asarray(image.rgb)[:32, 33:].reshape(-1, 3).astype(int)
    assert (red[:, 0] > 2 * red[:, 2]).any()
    projected = camera_lib.project(LOOK_DOWN, image.point, size=65)
    centres = np.arange(65) + 0.5
    np.testing.assert_allclose(projected[..., 0], np.tile(centres, (65, 1)), atol=0.02)
    np.testing.assert_allclose(projected[..., 2], image.depth, rtol=1e-4)


def test_normals_are_unit_and_follow_the_depth():
    image = draw(size=64, outputs=("point", "normal", "segmentation"))
    np.testing.assert_allclose(np.linalg.norm(image.normal, axis=-1), 1, atol=1e-4)
    point = np.asarray(image.point)
    across = point[1:-1, 2:] - point[1:-1, :-2]
    down = point[2:, 1:-1] - point[:-2, 1:-1]
    slope = np.cross(down, across)
    slope /= np.linalg.norm(slope, axis=-1, keepdims=True)
    flat = np.asarray(image.segmentation) == 0
    inner = flat[1:-1, 2:] & flat[1:-1, :-2] & flat[2:, 1:-1] & flat[:-2, 1:-1]
    agree = (slope * np.asarray(image.normal)[1:-1, 1:-1]).sum(-1)[inner]
    assert agree.min() > 0.999


def test_the_nearer_shape_hides_the_farther():
    places = PLACES.copy()
    places[2] = [0.4, 0.3, 0.8]
    image = draw(size=65, places=places, outputs=("segmentation",))
    column, row, _ = camera_lib.project(LOOK_DOWN, places[2], size=65)
    assert image.segmentation[int(row), int(column)] == 40


@pytest.mark.parametrize("supersample", [1, 2])
@pytest.mark.slow
def test_a_subset_equals_the_full_set(supersample):
    full = draw(outputs=types.OUTPUTS, supersample=supersample)
    for name in types.OUTPUTS:
        part = draw(outputs=(name,), supersample=supersample)
        np.testing.assert_allclose(
            getattr(part, name), getattr(full, name), atol=1e-5, err_msg=name
        )
        assert sum(value is not None for value in part) == 1


@pytest.mark.slow
def test_vmapped_equals_looped_and_nothing_retraces():
    places = PLACES + np.random.default_rng(0).normal(size=(3, 3, 3)) * 0.05
    places = places.astype(np.float32)
    heights = np.array([1.8, 2.2], np.float32)

    @chex.assert_max_traces(n=1)
    def batch(heights, places, materials):
        def one(height, place):
            camera = LOOK_DOWN._replace(position=jnp.array([0, 0, 1.0]) * height)
            scene = (SHAPES, materials, types.DEFAULT_LIGHTS, camera)
            return render(*scene, place, TURNS, size=32, outputs=("rgb", "depth"))

        return jax.vmap(jax.vmap(one, (0, None)), (None, 0))(heights, places)

    compiled = compile.jit(batch)
    images = compiled(heights, places, MATERIALS)
    dim = MATERIALS._replace(rgb=MATERIALS.rgb * 0.5)
    assert compiled(heights, places, dim).rgb.mean() < images.rgb.mean()
    assert images.rgb.shape == (3, 2, 32, 32, 3) and images.rgb.dtype == jnp.uint8
    for row in range(3):
        for column, height in enumerate(heights):
            camera = LOOK_DOWN._replace(position=np.array([0, 0, height], np.float32))
            single = draw(camera, places[row], outputs=("rgb", "depth"))
            got = images.rgb[row, column].astype(int) - single.rgb.astype(int)
            assert np.abs(got).max() <= 2
            np.testing.assert_allclose(images.depth[row, column], single.depth, 1e-4)


@pytest.mark.slow
def test_shadows_only_darken():
    bright, shaded = draw().rgb.astype(int), draw(shadows=True).rgb.astype(int)
    assert (shaded <= bright + 1).all() and (shaded < bright - 10).any()


@pytest.mark.parametrize(("backend", "many"), [("tpu", 2**18), ("gpu", 500)])
@pytest.mark.slow
def test_accelerators_draw_the_same_pictures(monkeypatch, backend, many):
    """One tile of several images at once, and several tiles of one."""
    wanted = draw(shadows=True, outputs=types.OUTPUTS, supersample=2)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setitem(rays.RAYS_AT_ONCE, backend, many)

    @jax.jit
    def batch(places):
        def one(place):
            scene = (SHAPES, MATERIALS, types.DEFAULT_LIGHTS, LOOK_DOWN)
            return render(
                *scene,
                place,
                TURNS,
                size=32,
                shadows=True,
                outputs=types.OUTPUTS,
                supersample=2,
            )

        return jax.vmap(one)(places)

    images = batch(jnp.stack([jnp.asarray(PLACES)] * 3))
    for name in types.OUTPUTS:
        found, correct = getattr(images, name)[2], np.asarray(getattr(wanted, name))
        close = np.abs(found.astype(np.float32) - correct) <= (
            1 if name == "rgb" else 1e-3
        )
        assert found.shape == correct.shape and close.mean() > 0.999, name


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.slow
def test_memory_scales_with_images_not_primitives(monkeypatch, backend):
    """Temporary bytes of a batch, drawn one by one as on a CPU and block by block."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setitem(rays.RAYS_AT_ONCE, "gpu", 4 * 64**2)

    def temporary(batch, size, *, copies=1):
        solid = types.RenderPrimitive("box", (0.1, 0.1, 0.1))
        shapes = types.make_shapes([solid] * 8 * copies)

        def run(places):
            def one(place):
                scene = (shapes, MATERIALS, types.DEFAULT_LIGHTS, LOOK_DOWN)
                return render(*scene, place, TURNS, size=size).rgb

            return jax.vmap(one)(places)

        places = jnp.zeros((batch, *PLACES.shape))
        compiled = compile.jit(run).lower(places).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    base = temporary(4, 64)
    assert temporary(4, 64, copies=8) < 1.5 * base
    assert temporary(16, 64) < 1.5 * base
    grown = temporary(4, 128) / base
    assert 3.0 < grown < 5.0 if backend == "cpu" else grown < 1.5


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match="choose one or more"):
        draw(outputs=("colour",))
    with pytest.raises(ValueError, match="choose from"):
        types.make_shapes([types.RenderPrimitive("torus", (1, 1))])
    with pytest.raises(ValueError, match="has size"):
        types.make_shapes([types.RenderPrimitive("box", (1, 1))])
    with pytest.raises(ValueError, match="planes"):
        types.make_shapes([types.RenderPrimitive("polytope", (1, 1, 1))])
    with pytest.raises(ValueError, match="unit wxyz"):
        types.make_shapes([types.RenderPrimitive("sphere", (1,), quat=(1, 1, 0, 0))])
    with pytest.raises(ValueError, match="choose from"):
        types.make_materials([types.Material((1, 1, 1), texture="foam")])
