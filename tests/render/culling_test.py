"""Culling keeps every primitive that a ray can hit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.render import culling, intersect, rays, types

RNG = np.random.default_rng(1)
CAMERA = types.Camera(np.zeros(3, np.float32), np.eye(3, dtype=np.float32), 60.0)
SIZE = {"capsule": (0.1, 0.3), "box": (0.02, 0.3, 0.2), "cup": (0.1, 0.2, 0.1)}


def crowd(count=60):
    kinds = list(types.KINDS)
    listed = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        quat = RNG.normal(size=4)
        place = RNG.uniform((-2, -2, -5), (2, 2, 1)).tolist()
        normals = np.concatenate([np.eye(3), -np.eye(3)])
        planes = np.concatenate([normals, np.full((6, 1), 0.15)], axis=1).tolist()
        listed.append(
            types.RenderPrimitive(
                kind,
                SIZE.get(kind, (0.15,) * 3)[: types.SIZES[kind]],
                position=place,
                quat=(quat / np.linalg.norm(quat)).tolist(),
                planes=planes if kind == "polytope" else (),
            )
        )
    return types.make_shapes(listed)


@pytest.mark.parametrize("lamp", [False, True])
@pytest.mark.slow
def test_tiled_search_equals_exhaustive_search(monkeypatch, lamp):
    shapes = crowd()
    ranges = intersect.kind_ranges(shapes)
    posed = intersect.pose(shapes, jnp.zeros((1, 3)), jnp.eye(3)[None])
    image_plane = rays.TiledImagePlane.of_side(96)
    bundle = rays.primary_rays(CAMERA, image_plane)
    if lamp:
        _, depth, _ = intersect.nearest_hit(posed, ranges, bundle)
        depth = jnp.minimum(depth, 4.0)
        x, y, z = (depth * weight for weight in bundle.weights)
        bundle = rays.shadow_rays(jnp.array([1.0, 2.0, 1.0]), (x, y, z), depth > 0)
    tiled = intersect.nearest_hit(posed, ranges, bundle)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    exhaustive = intersect.nearest_hit(posed, ranges, bundle)
    assert 0.1 < np.asarray(exhaustive[0]).mean() < 0.9
    matters = np.asarray(exhaustive[1]) < (1 if lamp else 1e6)
    assert (np.asarray(tiled[2]) == np.asarray(exhaustive[2]))[matters].mean() > 0.9999


def test_tiles_skip_most_primitives():
    shapes = crowd()
    posed = intersect.pose(shapes, jnp.zeros((1, 3)), jnp.eye(3)[None])
    boxes = slice(*intersect.kind_ranges(shapes)["box"])
    half = culling.bounding_half_sizes("box", posed.size[boxes])
    bundle = rays.primary_rays(CAMERA, rays.TiledImagePlane.of_side(96))
    mask = culling.visibility_mask(
        bundle, posed.position[boxes], posed.rotation[boxes], half
    )
    assert 0 < float(mask.mean()) < 0.4


def test_visible_primitives_of_a_kind_are_contiguous():
    mask = jnp.array([[True, False, True, True, False]])
    visible = culling.visible_primitives(mask, {"box": (0, 3), "cup": (3, 5)})
    np.testing.assert_array_equal(visible.order[0, :3], [0, 2, 3])
    assert int(visible.first["box"][0]) == 0 and int(visible.last["box"][0]) == 2
    assert int(visible.first["cup"][0]) == 2 and int(visible.last["cup"][0]) == 3
