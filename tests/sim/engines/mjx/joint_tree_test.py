"""Tests of mjx.joint_tree against C MuJoCo: a branching chain in a thick medium."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx import joint_tree, tree_tables
from omnivla_jax.sim.engines.mjx.vectors import cross, take_rows

INERTIAL = """<inertial pos=".03 -.02 .05" mass="{mass}" diaginertia=".02 .03 .042"
  quat=".8 .2 -.4 .4"/>"""
JOINT = '<joint type="{kind}" axis="{axis}" armature=".1" damping=".3"/>'
XML = f"""<mujoco><option timestep="0.005" density="30" viscosity=".01"/><worldbody>
  <body name="base" pos="-1 .5 .8" quat=".9 .1 .3 -.2">
    <body pos="0 0 .3">{JOINT.format(kind="hinge", axis="0 0 1")}
      {INERTIAL.format(mass=3)}
      <body pos=".1 0 .2" quat=".7 .7 0 0">
        {JOINT.format(kind="hinge", axis=".6 0 .8")}{INERTIAL.format(mass=2)}
        <body pos="0 .1 .1">
          <body pos=".1 0 0" quat=".7 0 .7 0">
            {JOINT.format(kind="slide", axis="0 1 0")}{INERTIAL.format(mass=0.1)}
            <body pos=".1 0 0">{INERTIAL.format(mass=0.01)}</body></body>
          <body pos="-.1 0 0">{JOINT.format(kind="slide", axis="0 .6 .8")}
            {INERTIAL.format(mass=0.2)}</body></body></body></body></body>
  <body name="stove" pos="2 1 0">
    <body pos=".1 0 0">{JOINT.format(kind="hinge", axis="0 1 0")}
      {INERTIAL.format(mass=1)}</body></body>
</worldbody>
<actuator><motor joint="first" ctrllimited="true" ctrlrange="-1 1"/>
  <position joint="second" kp="20" forcelimited="true" forcerange="-2 2"/></actuator>
</mujoco>""".replace("<joint ", '<joint name="first" ', 1).replace(
    '<joint type="hinge" axis=".6', '<joint name="second" type="hinge" axis=".6'
)
BATCH = 3
CONTROLS = [[0.4, -3.0, 0.2], [0.01, 0.3, -0.4]]


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(XML)


@pytest.fixture(scope="module")
def states(model):
    """C MuJoCo's data; the base stands elsewhere in each."""
    rng, states = np.random.default_rng(0), []
    for row in range(BATCH):
        moved = mujoco.MjModel.from_xml_string(XML)
        moved.body("base").pos[:] += rng.normal(size=3)
        data = mujoco.MjData(moved)
        data.qpos[:] = rng.normal(size=moved.nq)
        data.qvel[:] = rng.normal(scale=2.0, size=moved.nv)
        data.ctrl[:] = np.array(CONTROLS)[:, row]
        mujoco.mj_forward(moved, data)
        states.append((moved, data))
    return states


@pytest.fixture(scope="module")
def found(model, states):
    """Ours: the pose, the dynamics and the actuators' forces."""
    tables, base = tree_tables.tree_tables(model), np.array([model.body("base").id])

    def batch(read):
        return jnp.float32(np.stack([read(*state) for state in states], axis=-1))

    qpos, qvel = (batch(lambda _, d: d.qpos), batch(lambda _, d: d.qvel))
    ctrl = batch(lambda _, d: d.ctrl)
    position = batch(lambda m, _: m.body_pos[base].T)
    quaternion = batch(lambda m, _: m.body_quat[base].T)

    @jax.jit
    def program(qpos, qvel):
        frames = joint_tree.frames(tables.bodies, base, position, quaternion)
        pose = joint_tree.kinematics(tables, frames, qpos)
        force = joint_tree.actuation(tables.actuators, qpos, qvel, ctrl)
        return pose, joint_tree.dynamics(tables, pose, qvel), force

    return program(qpos, qvel)


def test_bodies_are_where_c_mujoco_has_them(states, found):
    pose, _, _ = found
    for row, (_, data) in enumerate(states):
        np.testing.assert_allclose(pose.position[..., row].T, data.xpos, atol=1e-6)
        np.testing.assert_allclose(pose.quaternion[..., row].T, data.xquat, atol=1e-6)
        matrix = pose.matrix[..., row].transpose(2, 0, 1).reshape(-1, 9)
        np.testing.assert_allclose(matrix, data.xmat, atol=1e-6)


def test_mass_and_forces_are_c_mujoco_s(states, found):
    _, dynamics, force = found
    for row, (model, data) in enumerate(states):
        full = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, data, full)
        np.testing.assert_allclose(dynamics.mass[..., row], full, atol=1e-5)
        for ours, theirs in (
            (dynamics.bias, data.qfrc_bias),
            (dynamics.passive, data.qfrc_passive),
            (force, data.qfrc_actuator),
        ):
            scale = np.abs(theirs).max()
            assert scale > 0.1
            np.testing.assert_allclose(ours[:, row], theirs, atol=3e-6 * scale)


def test_velocities_are_c_mujoco_s(model, states, found):
    _, dynamics, _ = found
    velocity = np.zeros(6)
    for row, (moved, data) in enumerate(states):
        for body in range(1, model.nbody):
            kind = mujoco.mjtObj.mjOBJ_XBODY
            mujoco.mj_objectVelocity(moved, data, kind, body, velocity, 0)
            ours = [part[:, body, row] for part in dynamics.velocity]
            np.testing.assert_allclose(np.concatenate(ours), velocity, atol=1e-5)


def test_axes_move_a_point_at_the_root(model, states, found):
    pose, dynamics, _ = found
    joints, roots = model.jnt_bodyid, model.body_rootid[model.jnt_bodyid]
    at_origin = dynamics.axes.linear - cross(
        dynamics.axes.angular, take_rows(pose.position, roots)
    )
    for row, (moved, data) in enumerate(states):
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        for joint, body in enumerate(joints):
            mujoco.mj_jac(moved, data, linear, angular, np.zeros(3), body)
            turn = dynamics.axes.angular[:, joint, row]
            np.testing.assert_allclose(turn, angular[:, joint], atol=1e-6)
            slide = at_origin[:, joint, row]
            np.testing.assert_allclose(slide, linear[:, joint], atol=1e-5)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('type="slide" axis="0 1 0"', 'type="ball"', "no hinge or slide"),
        ('axis="0 1 0" arm', 'axis="0 1 0" pos="0 0 .1" arm', "alone on its body"),
        ('axis="0 1 0" arm', 'axis="0 1 0" stiffness="3" arm', "a spring"),
        ('kp="20"', 'kp="20" gear="2"', "gear 1"),
    ],
)
def test_what_has_no_formula_is_an_error(old, new, message):
    assert old in XML
    with pytest.raises(ValueError, match=message):
        tree_tables.tree_tables(mujoco.MjModel.from_xml_string(XML.replace(old, new)))
