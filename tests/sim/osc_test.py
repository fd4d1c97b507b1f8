"""Tests of omnivla_jax.sim.osc: oracles from NumPy and MuJoCo, LIBERO's quirks."""

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from omnivla_jax.sim import osc
from omnivla_jax.sim.assets import panda

LIBEROS = osc.gains(osc.LIBERO_TIMESTEP)
ARM_SHAPES = ((3,), (3, 3), (6, 7), (7,), (7,), (7,), (7,))
MODULES = pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])


@pytest.fixture(scope="module")
def arm(scene):
    """A bent arm, a batch of one, and MuJoCo's own mass matrix and Jacobian."""
    model = scene.model
    data = mujoco.MjData(model)
    data.qpos[:7] = panda.HOME + 0.3 * np.sin(np.arange(7))
    data.qvel[:7] = 0.2 * np.cos(np.arange(7))
    mujoco.mj_forward(model, data)
    hand = scene.bodies[panda.EEF_BODY]
    translation, turn = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_jacBody(model, data, translation, turn, hand)
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)
    position = data.xpos[hand][:, None]
    anchors, axes = (x[:7].T[..., None] for x in (data.xanchor, data.xaxis))
    record = osc.Arm(
        position=position,
        orientation=data.xmat[hand].reshape(3, 3, 1),
        jacobian=osc.jacobian(anchors, axes, position, np),
        joints=data.qpos[:7, None],
        velocity=data.qvel[:7, None],
        bias=data.qfrc_bias[:7, None],
        passive=data.qfrc_passive[:7, None],
    )
    return record, mass[:7, :7], np.concatenate([translation, turn])[:, :7]


@MODULES
@pytest.mark.parametrize("size", [1, 3, 7])
def test_spd_inverse_agrees_with_numpy(xp, size):
    root = np.random.default_rng(size).normal(size=(5, size, size))
    matrices = root @ root.swapaxes(1, 2) + np.eye(size)
    run = functools.partial(osc.spd_inverse, xp=xp)
    rows = xp.asarray(np.moveaxis(matrices, 0, -1))
    inverse = np.moveaxis((jax.jit(run) if xp is jnp else run)(rows), -1, 0)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrices), rtol=2e-3, atol=1e-5)


def test_jacobian_is_mujocos(arm):
    record, _, expected = arm
    np.testing.assert_allclose(record.jacobian[..., 0], expected, atol=1e-12)


def test_null_torque_does_not_accelerate_the_hand(arm):
    record, mass, jacobian = arm
    terms = osc.dynamics(mass[..., None], record.jacobian, np)
    posture = np.random.default_rng(0).normal(size=7)
    torque = terms.null_projection[..., 0] @ posture
    assert np.linalg.norm(torque) > 1e-3
    acceleration = jacobian @ np.linalg.solve(mass, torque)
    np.testing.assert_allclose(acceleration, 0.0, atol=1e-9)


def test_lambdas_invert_the_compliances(arm):
    record, mass, jacobian = arm
    terms = osc.dynamics(mass[..., None], record.jacobian, np)
    compliance = jacobian @ np.linalg.inv(mass) @ jacobian.T
    inverse = np.linalg.inv(compliance[:3, :3])
    np.testing.assert_allclose(terms.lambda_position[..., 0], inverse, rtol=1e-9)
    inverse = np.linalg.inv(compliance[3:, 3:])
    np.testing.assert_allclose(terms.lambda_rotation[..., 0], inverse, rtol=1e-9)


def test_at_rest_only_gravity_is_held(arm):
    record, mass, _ = arm
    terms = osc.dynamics(mass[..., None], record.jacobian, np)
    rest = record._replace(joints=panda.HOME[:, None], velocity=np.zeros((7, 1)))
    goal = osc.PoseGoal(rest.position, rest.orientation)
    torque = osc.torque(terms, rest, goal, LIBEROS, np)
    limit = panda.TORQUE_LIMIT
    expected = np.clip(rest.bias[:, 0], -limit, limit)
    np.testing.assert_allclose(torque[:, 0], expected, atol=1e-9)
    far = osc.PoseGoal(rest.position + 10.0, rest.orientation)
    torque = np.abs(osc.torque(terms, rest, far, LIBEROS, np)[:, 0])
    assert np.all(torque <= limit) and np.any(torque == limit)


def test_liberos_timestep_has_liberos_gains():
    expected = (150.0, 2 * 150**0.5, 10.0, 2 * 10**0.5, 1.0, 0.0)
    np.testing.assert_allclose(LIBEROS, expected, rtol=1e-9, atol=1e-12)


def _travel(timestep, commands):
    """Where control steps of `commands` take one coordinate, by semi-implicit Euler."""
    gain, position, velocity, goal, path = osc.gains(timestep), 0.0, 0.0, 0.0, []
    for command in commands:
        earlier, goal = goal, position + command
        for substep in range(round(0.05 / timestep)):
            share = 1.0 if substep else gain.new_goal_weight
            error = earlier + share * (goal - earlier) - position
            pull = gain.stiffness * error - gain.damping * velocity
            velocity += timestep * pull
            position += timestep * velocity
        path.append(position)
    return np.array(path)


@pytest.mark.parametrize("timestep", [0.005, 0.00625])
def test_longer_substeps_travel_as_far_as_liberos(timestep):
    commands = [1.0] * 10 + [0.0] * 10 + [-0.3, 0.5] * 5
    liberos = _travel(osc.LIBERO_TIMESTEP, commands)
    difference = _travel(timestep, commands) - liberos
    assert np.abs(difference).max() < 1e-3 * np.abs(liberos).max()


@pytest.mark.parametrize("limit", [1e6, 3.0])
def test_longer_substeps_foresee_what_they_cause(arm, monkeypatch, limit):
    """The hand's damping is that of its velocity after half a longer substep."""
    record, mass, jacobian = arm
    limits = np.abs(record.bias[:, 0]) + limit
    monkeypatch.setattr(panda, "TORQUE_LIMIT", limits)
    passive = np.array([0.5, -2.0, 1.0, 3.0, 1.0, -2.0, 1.0])[:, None]
    record = record._replace(joints=panda.HOME[:, None], passive=passive)
    record = record._replace(velocity=np.zeros((7, 1)))
    terms = osc.dynamics(mass[..., None], record.jacobian, np)
    moved = record.position + np.array([[0.01], [0.0], [-0.005]])
    goal = osc.PoseGoal(moved, record.orientation)
    gain = osc.gains(0.00625)
    torque = osc.torque(terms, record, goal, gain, np)
    acceleration = jacobian @ np.linalg.solve(
        mass, (torque - record.bias + passive)[:, 0]
    )
    ahead = 0.5 * (0.00625 - osc.LIBERO_TIMESTEP)
    pull = np.concatenate([150.0 * np.array([0.01, 0.0, -0.005]), np.zeros(3)])
    foreseen = pull - 2 * 150.0**0.5 * ahead * acceleration
    wrench = np.concatenate(
        [
            terms.lambda_position[..., 0] @ foreseen[:3],
            terms.lambda_rotation[..., 0] @ foreseen[3:],
        ]
    )
    wanted = np.clip(jacobian.T @ wrench + record.bias[:, 0], -limits, limits)
    naive = osc.torque(terms, record, goal, LIBEROS, np)
    error, difference = (np.abs(x[:, 0] - wanted).max() for x in (torque, naive))
    assert error < 0.25 * difference


@MODULES
def test_goal_quirks(xp):
    turned = Rotation.from_rotvec([0.0, 0.0, 0.3]).as_matrix()
    now = osc.PoseGoal(xp.full((3, 3), 2.0), xp.asarray(np.stack([turned] * 3, -1)))
    same = xp.asarray(np.stack([np.eye(3)] * 3, -1))
    held = osc.PoseGoal(xp.full((3, 3), 1.0), same)
    action = np.zeros((7, 3), np.float32)
    action[0] = 1.0  # 5 cm
    action[5, 2] = 1.0  # half a radian about z
    fresh = xp.asarray([True, False, False])
    goal = osc.set_goal(xp.asarray(action), now, held, fresh, xp)
    # A fresh controller starts from the nominal pose, the others from the current one.
    np.testing.assert_allclose(goal.position[0], [1.05, 2.05, 2.05])
    # Without a commanded rotation the old goal stays, whatever the hand has done.
    np.testing.assert_allclose(goal.orientation[..., :2], same[..., :2])
    expected = Rotation.from_rotvec([0.0, 0.0, 0.8]).as_matrix()
    np.testing.assert_allclose(goal.orientation[..., 2], expected, atol=1e-6)


@pytest.mark.parametrize("substeps", [10, 25])
def test_gripper_ramp_by_hand(substeps):
    def control_step(closing, command):
        for _ in range(substeps):
            closing = osc.ramp_gripper(closing, command, substeps, np)
        return closing

    closing = np.array([0.0, 0.0, -1.0, 0.9])
    command = np.array([1.0, 0.0, -0.3, 0.01])  # only the sign counts
    np.testing.assert_allclose(control_step(closing, command), [0.25, 0.0, -1.0, 1.0])
    full = np.array([-1.0])
    for _ in range(8):  # a full reversal takes eight control steps
        full = control_step(full, np.array([1.0]))
    np.testing.assert_allclose(full, 1.0)


def test_finger_targets():
    targets = osc.finger_targets(np.array([-1.0, 0.0, 1.0]), np)
    np.testing.assert_allclose(targets, [[0.04, 0.02, 0.0], [-0.04, -0.02, 0.0]])


@MODULES
def test_rotation_error_is_the_angles_sine(xp):
    current = Rotation.random(4, random_state=0)
    vector = np.array([0.1, -0.2, 0.05])
    goal = Rotation.from_rotvec(vector) * current
    now, wanted = (
        xp.asarray(np.moveaxis(x.as_matrix(), 0, -1)) for x in (current, goal)
    )
    error = osc.rotation_error(now, wanted, xp)
    angle = np.linalg.norm(vector)
    expected = np.tile(np.sin(angle) * vector / angle, (4, 1)).T
    np.testing.assert_allclose(error, expected, atol=1e-6)


def test_products_are_numpys_in_both_modules():
    """The engines' modules take different routes to the same torques."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 7, 7))
    mass = np.moveaxis(root @ root.swapaxes(1, 2) + np.eye(7), 0, -1)
    arm = osc.Arm(*(rng.normal(size=shape + (5,)) for shape in ARM_SHAPES))
    goal = osc.PoseGoal(*(rng.normal(size=shape + (5,)) for shape in ((3,), (3, 3))))
    torques = []
    for xp in (np, jnp):
        own, held = jax.tree.map(xp.asarray, (arm, goal))
        terms = osc.dynamics(xp.asarray(mass), own.jacobian, xp)
        torques.append(osc.torque(terms, own, held, osc.gains(0.00625), xp))
    numpys, jaxs = torques
    np.testing.assert_allclose(jaxs, numpys, rtol=1e-3, atol=1e-3)
