"""Culling loses nothing that a ray can hit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.render import culling, rays, traverse, types

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
            types.Primitive(
                kind,
                SIZE.get(kind, (0.15,) * 3)[: types.SIZES[kind]],
                position=place,
                quat=(quat / np.linalg.norm(quat)).tolist(),
                planes=planes if kind == "polytope" else (),
            )
        )
    return types.shapes(listed)


@pytest.mark.parametrize("lamp", [False, True])
def test_tiles_meet_what_trying_everything_meets(monkeypatch, lamp):
    shapes = crowd()
    spans = traverse.starts(shapes)
    solids = traverse.pose(shapes, jnp.zeros((1, 3)), jnp.eye(3)[None])
    film = rays.film(96)
    bundle = rays.through(CAMERA, film)
    if lamp:
        _, depth, _ = traverse.nearest(solids, spans, bundle)
        depth = jnp.minimum(depth, 4.0)
        x, y, z = (depth * weight for weight in bundle.weights)
        bundle = rays.towards(jnp.array([1.0, 2.0, 1.0]), (x, y, z), depth > 0)
    found = traverse.nearest(solids, spans, bundle)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    wanted = traverse.nearest(solids, spans, bundle)
    assert 0.1 < np.asarray(wanted[0]).mean() < 0.9
    matters = np.asarray(wanted[1]) < (1 if lamp else 1e6)
    assert (np.asarray(found[2]) == np.asarray(wanted[2]))[matters].mean() > 0.9999


def test_tiles_skip_most_of_a_crowd():
    shapes = crowd()
    solids = traverse.pose(shapes, jnp.zeros((1, 3)), jnp.eye(3)[None])
    boxes = slice(*traverse.starts(shapes)["box"])
    half = culling.half_sides("box", solids.size[boxes])
    bundle = rays.through(CAMERA, rays.film(96))
    seen = culling.visible(bundle, solids.position[boxes], solids.rotation[boxes], half)
    assert 0 < float(seen.mean()) < 0.4


def test_a_work_list_keeps_kinds_together():
    seen = jnp.array([[True, False, True, True, False]])
    work = culling.work_list(seen, {"box": (0, 3), "cup": (3, 5)})
    np.testing.assert_array_equal(work.order[0, :3], [0, 2, 3])
    assert int(work.first["box"][0]) == 0 and int(work.last["box"][0]) == 2
    assert int(work.first["cup"][0]) == 2 and int(work.last["cup"][0]) == 3
