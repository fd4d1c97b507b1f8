"""Tests of mjx.free_bodies against C MuJoCo."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx import fluid, free_bodies

BODY = """<body pos="{x} 0 1"><freejoint/>
  <inertial pos=".03 -.02 .05" mass="{mass}" diaginertia=".002 .003 .0042"
    quat=".8 .2 -.4 .4"/>
  <geom type="box" size=".05 .05 .05" contype="0" conaffinity="0"/></body>"""
XML = f"""<mujoco><option timestep="0.005" density="{{density}}" viscosity=".01">
  <flag contact="disable"/></option><worldbody>
  {BODY.format(x=0, mass=0.3)}{BODY.format(x=1, mass=2.5)}</worldbody></mujoco>"""
BODIES, STEPS = [1, 2], 40


@pytest.fixture(params=[0.0, 30.0])
def world(request):
    model = mujoco.MjModel.from_xml_string(XML.format(density=request.param))
    model.dof_damping[:] = np.linspace(0.001, 0.02, model.nv)
    rng = np.random.default_rng(0)
    data = mujoco.MjData(model)
    data.qpos += rng.normal(size=model.nq)  # the engine normalises quaternions
    data.qvel[:] = rng.normal(scale=2.0, size=model.nv)
    return model, data


def state(data):
    qpos = jnp.float32(data.qpos).reshape(len(BODIES), 7).T[..., None]
    return qpos, jnp.float32(data.qvel).reshape(len(BODIES), 6).T[..., None]


def flat(values):
    """The environment's coordinates, body by body."""
    return values[..., 0].T.ravel()


def of_bodies(model):
    every = free_bodies.body_constants(model, BODIES)
    return jax.tree.map(lambda leaf: jnp.float32(leaf[..., :-1, None]), every)


def dynamics(model, data):
    qpos, qvel = state(data)
    pose = free_bodies.kinematics(qpos)
    medium = fluid.fluid_options(model)
    return pose, free_bodies.dynamics(of_bodies(model), medium, pose, qvel)


@pytest.mark.slow
def test_mass_force_and_acceleration_are_c_mujoco_s(world):
    model, data = world
    mujoco.mj_forward(model, data)
    _, found = dynamics(model, data)
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    for k in range(len(BODIES)):
        own = slice(6 * k, 6 * k + 6)
        np.testing.assert_allclose(found.mass[:, :, k, 0], full[own, own], atol=1e-6)
    for ours, theirs in (
        (found.force, data.qfrc_smooth),
        (found.acceleration, data.qacc_smooth),
    ):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(flat(ours), theirs, atol=3e-5 * scale)


def test_motion_axes_move_a_point_at_the_origin(world):
    model, data = world
    mujoco.mj_forward(model, data)
    turn, slide = free_bodies.motion_axes(free_bodies.kinematics(state(data)[0]))
    linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    for k, body in enumerate(BODIES):
        mujoco.mj_jac(model, data, linear, angular, np.zeros(3), body)
        own = slice(6 * k, 6 * k + 6)
        np.testing.assert_allclose(turn[:, :, k, 0], angular[:, own], atol=1e-6)
        np.testing.assert_allclose(slide[:, :, k, 0], linear[:, own], atol=1e-5)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_flight_is_c_mujoco_s(world, implicit):
    model, data = world
    if not implicit:
        model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
    bodies, timestep = of_bodies(model), model.opt.timestep

    @jax.jit
    def fly(qpos, qvel):
        pose = free_bodies.kinematics(qpos)
        found = free_bodies.dynamics(bodies, fluid.fluid_options(model), pose, qvel)
        change = found.acceleration
        if implicit:
            change = free_bodies.implicit_damping(bodies, found.mass, change, timestep)
        return free_bodies.integrate(pose, qvel, change, timestep)

    qpos, qvel = state(data)
    for _ in range(STEPS):
        qpos, qvel = fly(qpos, qvel)
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(flat(qpos), data.qpos, atol=2e-4)
    np.testing.assert_allclose(flat(qvel), data.qvel, atol=2e-3)


def test_an_empty_slot_is_a_body_of_one(world):
    every = free_bodies.body_constants(world[0], BODIES)
    assert every.mass[-1] == 1.0
    np.testing.assert_array_equal(every.inertia[..., -1], np.eye(3))
    assert not every.damping[..., -1].any()


def test_a_body_on_another_joint_is_an_error():
    text = '<mujoco><worldbody><body name="arm"><joint/><geom size="1"/></body>'
    model = mujoco.MjModel.from_xml_string(text + "</worldbody></mujoco>")
    with pytest.raises(ValueError, match="arm"):
        free_bodies.body_constants(model, [1])
