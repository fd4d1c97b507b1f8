"""Camera shifts against LIBERO-Plus' formula in scipy."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from omnivla_jax.world.perturbations import camera
from omnivla_jax.world.perturbations.camera import CameraShift

POSITION = np.array([0.66, 0.05, 1.61])
draw = jax.jit(camera.draw, static_argnames="split")
draw_any_kind = jax.jit(camera.draw_any_kind)
TURN = Rotation.from_euler("xyz", [0.1, 0.9, 1.5])


def reference(h, v, s, r, e):
    """The order and the signs of LIBERO-Plus' `_setup_camera`."""
    pivot = np.array([0, 0, 0.8])
    raised = Rotation.from_euler("y", -v, degrees=True)
    position = pivot + raised.apply(POSITION - pivot)
    turned = raised * TURN
    around = Rotation.from_euler("z", h, degrees=True)
    position, turned = around.apply(position), around * turned
    position = pivot + s / 100 * (position - pivot)
    turned = Rotation.from_euler("z", r, degrees=True) * turned
    return position, Rotation.from_euler("y", -e, degrees=True) * turned


def test_moves_are_the_references():
    rows = [(30, 15, 100, 0, 0), (-75, 0, 100, 0, 0), (0, 0, 180, 0, 0)]
    rows += [(0, 0, 100, 8, -4), (20, 15, 130, -6, 10)]
    shift = CameraShift(*(jnp.asarray(c, jnp.float32) for c in np.transpose(rows)))
    nominal = np.roll(TURN.as_quat(), 1)
    position, quaternion = camera.move(
        jnp.tile(jnp.asarray(POSITION, jnp.float32), (len(rows), 1)),
        jnp.tile(jnp.asarray(nominal, jnp.float32), (len(rows), 1)),
        shift,
    )
    for i, row in enumerate(rows):
        expected, turned = reference(*row)
        np.testing.assert_allclose(position[i], expected, atol=1e-6)
        measured = Rotation.from_quat(np.roll(quaternion[i], -1))
        assert (measured * turned.inv()).magnitude() < 1e-6


def test_an_unshifted_camera_keeps_its_last_bit():
    random = np.random.default_rng(0)
    position = jnp.asarray(random.normal(size=(4, 3)), jnp.float32)
    quaternion = jnp.asarray(random.normal(size=(4, 4)), jnp.float32)
    same = camera.move(position, quaternion, camera.no_change(4))
    assert (same[0] == position).all() and (same[1] == quaternion).all()


def test_draws_have_the_originals_kinds_and_ranges():
    count = 4000
    keys = jax.random.split(jax.random.key(0), count)
    h, v, s, r, e = map(np.asarray, draw_any_kind(keys))
    kinds = [(h != 0) & (v == 0), v != 0, s != 100, r != 0]
    assert (sum(kind.astype(int) for kind in kinds) == 1).all()
    shares = np.array([kind.mean() for kind in kinds])
    expected = np.array(camera.KIND_COUNTS) / sum(camera.KIND_COUNTS)
    deviation = np.sqrt(expected * (1 - expected) / count)
    assert (abs(shares - expected) < 4 * deviation).all()
    assert abs(h).max() == 75 and set(v) == {0, 15}
    assert s[kinds[2]].min() >= 115 and s.max() <= 200
    assert set(abs(r[kinds[3]])) == set(abs(e[kinds[3]])) == {2, 4, 6, 8, 10}


def test_severity_and_kinds_are_respected():
    keys = jax.random.split(jax.random.key(1), 64)
    nothing = draw_any_kind(keys, severity=0.0)
    assert (jnp.stack(nothing) == jnp.stack(camera.no_change(64))).all()
    farther = draw_any_kind(keys, kind_shares=(0.0, 0.0, 1.0, 0.0))
    assert (farther.distance >= 115).all() and (farther.azimuth == 0).all()
    half = draw_any_kind(keys, severity=0.5, kind_shares=(0.0, 0.0, 1.0, 0.0))
    assert half.distance.min() >= 115 and 150 < half.distance.max() <= 115 + 86 / 2


def test_no_severity_draws_what_is_held_out():
    keys = jax.random.split(jax.random.key(2), 600)
    severity = jnp.linspace(0.01, 1.0, len(keys))
    active = jnp.ones((len(keys), len(camera.KINDS)), bool)
    drawn = {
        split: draw(keys, active, severity=severity, split=split)._asdict()
        for split in ("training", "held_out")
    }
    for field in ("azimuth", "distance", "yaw", "pitch"):
        training, held_out = (set(abs(np.asarray(d[field]))) for d in drawn.values())
        assert len(training) > 2 and len(held_out) > 1
        assert not training & held_out, field
