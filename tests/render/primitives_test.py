"""Ray intersections against sphere tracing of signed distances, in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.render import arithmetic, polytopes, primitives, types

SIZE = {
    "box": (0.3, 0.2, 0.1),
    "sphere": (0.3, 0.3, 0.3),
    "capsule": (0.15, 0.25, 0.0),
    "cylinder": (0.2, 0.15, 0.0),
    "cone": (0.1, 0.25, 0.2),
    "cup": (0.15, 0.3, 0.12),
}


def signed_distance(kind, p, size):
    a, b, c = size
    radial = np.linalg.norm(p[:, :2], axis=-1)
    if kind in ("cone", "cup"):  # bounds of the distance: enough to trace with
        slope = (b - a) / (2 * c)
        wide = (radial - (a + b) / 2 - slope * p[:, 2]) / np.hypot(1, slope)
        solid = np.maximum(wide, np.abs(p[:, 2]) - c)
        if kind == "cone":
            return solid
        wall = types.CUP_WALL * b
        hollow = np.maximum(wide + wall / np.hypot(1, slope), wall - c - p[:, 2])
        return np.maximum(solid, -hollow)
    if kind == "sphere":
        return np.linalg.norm(p, axis=-1) - a
    if kind == "capsule":
        q = p.copy()
        q[:, 2] -= np.clip(q[:, 2], -b, b)
        return np.linalg.norm(q, axis=-1) - a
    if kind == "cylinder":
        q = np.stack([radial - a, np.abs(p[:, 2]) - b], -1)
    else:
        q = np.abs(p) - np.array(size)
    return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)


def rays(count=2000):
    rng = np.random.default_rng(0)
    origin = rng.normal(size=(count, 3))
    origin *= 1.2 / np.linalg.norm(origin, axis=-1, keepdims=True)
    direction = rng.uniform(-0.3, 0.3, size=(count, 3)) - origin
    return origin, direction / np.linalg.norm(direction, axis=-1, keepdims=True)


def trace(kind, origin, direction, size):
    distance = np.zeros(len(origin))
    for _ in range(400):
        distance += signed_distance(kind, origin + distance[:, None] * direction, size)
    return distance, distance < 3


def columns(array):
    return tuple(jnp.asarray(array, jnp.float32).T)


@pytest.mark.parametrize("kind", sorted(SIZE))
def test_matches_sphere_tracing(kind):
    origin, direction = rays()
    size = SIZE[kind]
    lengths = tuple(jnp.float32(s) for s in size)
    found = primitives.INTERSECT[kind](columns(origin), columns(direction), lengths)
    wanted, hit = trace(kind, origin, direction, size)
    found_hit = np.asarray(found) < 100
    assert (found_hit != hit).mean() < 2e-3  # grazing rays only
    both = hit & found_hit
    assert both.sum() > 500
    np.testing.assert_allclose(np.asarray(found)[both], wanted[both], atol=2e-4)


@pytest.mark.parametrize("kind", sorted(SIZE))
def test_normals_are_the_gradient_of_the_distance(kind):
    origin, direction = rays()
    size = SIZE[kind]
    distance, hit = trace(kind, origin, direction, size)
    point = (origin + distance[:, None] * direction)[hit]
    lengths = tuple(jnp.float32(s) for s in size)
    normal = np.stack(primitives.normal(kind, columns(point), lengths), -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    steps = 1e-4 * np.eye(3)
    slope = [
        signed_distance(kind, point + s, size) - signed_distance(kind, point - s, size)
        for s in steps
    ]
    smooth = np.abs(np.linalg.norm(np.stack(slope, -1), axis=-1) / 2e-4 - 1) < 1e-3
    wanted = np.stack(slope, -1)[smooth] / 2e-4
    agree = (normal[smooth] * wanted).sum(-1) > 0.999
    assert agree.mean() > 0.99


def test_ellipsoid_satisfies_its_equation():
    origin, direction = rays()
    size = np.array([0.3, 0.2, 0.1])
    found = np.asarray(
        primitives.INTERSECT["ellipsoid"](
            columns(origin), columns(direction), tuple(size)
        )
    )
    hit = found < 100
    point = (origin + found[:, None] * direction)[hit] / size
    np.testing.assert_allclose((point**2).sum(-1), 1, atol=1e-4)
    assert hit.sum() > 300


def test_plane_is_one_sided_and_finite():
    o = columns([[0, 0, 1], [0, 0, -1], [2, 0, 1]])
    d = columns([[0, 0, -1], [0, 0, 1], [0, 0, -1]])
    bounded = primitives.INTERSECT["plane"](o, d, (1.0, 1.0, 0.0))
    np.testing.assert_array_equal(np.asarray(bounded) < 100, [True, False, False])
    endless = primitives.INTERSECT["plane"](o, d, (0.0, 0.0, 0.0))
    np.testing.assert_array_equal(np.asarray(endless) < 100, [True, False, True])


@pytest.mark.parametrize("kind", sorted(SIZE))
def test_axis_aligned_rays_and_cameras_inside(kind):
    for axis in range(3):
        direction = np.zeros((1, 3))
        direction[0, axis] = 1.0
        size = tuple(jnp.float32(s) for s in SIZE[kind])
        intersect = jax.jit(primitives.INTERSECT[kind])
        from_outside = intersect(columns(-direction), columns(direction), size)
        wanted, _ = trace(kind, -direction, direction, SIZE[kind])
        np.testing.assert_allclose(from_outside, wanted, atol=1e-5)
        if kind != "cup":
            from_inside = intersect(columns(0 * direction), columns(direction), size)
            assert from_inside[0] == arithmetic.FAR


def test_polytope_of_six_planes_equals_box():
    origin, direction = rays()
    half = jnp.array(SIZE["box"])
    normals = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    faces = [
        (tuple(n), half[i % 3] - jnp.asarray(origin, jnp.float32) @ n)
        for i, n in enumerate(normals)
    ]
    found, face = polytopes.polytope(columns(direction), faces)
    wanted = primitives.INTERSECT["box"](
        columns(origin), columns(direction), tuple(half)
    )
    hit = np.asarray(wanted) < 100
    assert ((np.asarray(found) < 100) == hit).mean() > 0.998 and hit.sum() > 500
    both = hit & (np.asarray(found) < 100)
    np.testing.assert_allclose(found[both], wanted[both], atol=1e-5)
    point = origin + np.asarray(found)[:, None] * direction
    reached = (normals[face] * point).sum(-1)
    np.testing.assert_allclose(reached[both], half[face % 3][both], atol=1e-5)


def test_tetrahedron_distances_by_hand():
    """By hand: x, y, z >= 0 and x + y + z <= 1, seen along the diagonal and along x."""
    planes = [((-1.0, 0, 0), 0.0), ((0, -1.0, 0), 0.0), ((0, 0, -1.0), 0.0)]
    planes.append(((3**-0.5,) * 3, 3**-0.5))
    origin = np.array([[2, 2, 2], [-1, 0.2, 0.3], [-1, 0.6, 0.6]])
    direction = np.array([[-1, -1, -1], [1, 0, 0], [1, 0, 0]])
    faces = [
        (normal, jnp.asarray(offset - origin @ np.array(normal), jnp.float32))
        for normal, offset in planes
    ]
    distance, face = polytopes.polytope(columns(direction), faces)
    np.testing.assert_allclose(distance[:2], [5 / 3, 1], rtol=1e-5)
    assert distance[2] == arithmetic.FAR
    np.testing.assert_array_equal(face[:2], [3, 0])
