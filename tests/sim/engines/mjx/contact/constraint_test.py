"""Tests of contact.constraint against C MuJoCo's efc arrays."""

import mujoco
import numpy as np

CONTACT = int(mujoco.mjtConstraint.mjCNSTR_CONTACT_ELLIPTIC)
LIMIT = int(mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT)
FRICTION = int(mujoco.mjtConstraint.mjCNSTR_FRICTION_DOF)


def by_row(world):
    """[4, K, V, B]."""
    box = world.jacobian.box
    box = box.reshape(len(box), 4, -1, box.shape[-1])
    return np.moveaxis(np.asarray(box), 0, -1)


def test_contact_rows_are_mujoco_s(world):
    compared, contacts = 0, world.problem.contacts
    parts = (by_row(world), contacts.reference, contacts.weight)
    for row, data in enumerate(world.data):
        there = np.flatnonzero(world.contacts.distance[:, row] < 0)
        assert len(there) == data.ncon
        full = data.efc_J.reshape(-1, world.model.nv)
        for slot in there:
            position = np.asarray(world.contacts.position[:, slot, row])
            gaps = np.linalg.norm(data.contact.pos - position, axis=1)
            address = data.contact.efc_address[gaps.argmin()]
            assert gaps.min() < 1e-5
            span = slice(address, address + 4)
            jacobian, reference, weight = (part[..., row] for part in parts)
            np.testing.assert_allclose(jacobian[:, slot], full[span], atol=1e-5)
            aim, strength = data.efc_aref[span], data.efc_D[span]
            np.testing.assert_allclose(reference[:, slot], aim, rtol=1e-3, atol=1e-2)
            np.testing.assert_allclose(weight[:, slot], strength, rtol=1e-3)
            compared += 1
    assert compared >= 9  # two faces, one edge


def test_padding_pulls_at_nothing(world):
    contacts = world.problem.contacts
    empty = np.asarray(world.contacts.distance) >= 0
    assert empty.any()
    assert not by_row(world).swapaxes(2, 3)[:, empty].any()
    assert not np.asarray(contacts.reference)[:, empty].any()
    assert np.isfinite(np.asarray(contacts.weight)).all()


def test_limits_and_joint_friction_are_mujoco_s(world):
    joints, limits = world.problem.joints, 0
    for row, data in enumerate(world.data):
        full = data.efc_J.reshape(-1, world.model.nv)
        active = np.flatnonzero(np.asarray(joints.limit_weight[:, row]))
        expected = np.flatnonzero(data.efc_type == LIMIT)
        assert len(active) == len(expected)
        for dof, address in zip(active, expected):
            limits += 1
            assert full[address, dof] == joints.side[dof, row]
            aim, weight = (
                part[dof, row] for part in (joints.limit_reference, joints.limit_weight)
            )
            np.testing.assert_allclose(aim, data.efc_aref[address], rtol=1e-3)
            np.testing.assert_allclose(weight, data.efc_D[address], rtol=1e-3)
        (address,) = np.flatnonzero(data.efc_type == FRICTION)
        (dof,) = np.flatnonzero(np.asarray(joints.friction_loss[:, row]))
        weight = joints.friction_weight[dof, row]
        np.testing.assert_allclose(weight, data.efc_D[address], rtol=1e-4)
        aim = joints.friction_reference[dof, row]
        np.testing.assert_allclose(aim, data.efc_aref[address], rtol=1e-4, atol=1e-6)
    assert limits == 2  # the lower and the upper one
