"""Tests of contact.impedance against C MuJoCo's efc_KBIP."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from omnivla_jax.sim.engines.mjx.contact import impedance

XML = """<mujoco><option timestep="0.005"/><worldbody>
  <body><joint type="slide" axis="1 0 0" range="0 1" limited="true"
    solreflimit="{solref}" solimplimit="{solimp}"/>
    <geom type="box" size=".1 .1 .1" mass="2"/></body>
</worldbody></mujoco>"""


@pytest.mark.parametrize("depth", [1e-6, 2e-4, 7e-4, 2e-3])
@pytest.mark.parametrize(
    "solref, solimp",
    [("0.02 1", "0.9 0.95 0.001 0.5 2"), ("0.001 0.7", "0.5 1.2 0.001 0.3 3")],
)
def test_gains_and_impedance_are_mujoco_s(depth, solref, solimp):
    model = mujoco.MjModel.from_xml_string(XML.format(solref=solref, solimp=solimp))
    data = mujoco.MjData(model)
    data.qpos[0] = -depth
    mujoco.mj_forward(model, data)
    stiffness, damping, clipped = impedance.reference_gains(
        model.jnt_solref, model.jnt_solimp, model.opt.timestep
    )
    share = impedance.impedance(jnp.asarray(clipped), jnp.array([-depth]))
    ours = [stiffness[0], damping[0], share[0]]
    np.testing.assert_allclose(ours, data.efc_KBIP[0, :3], rtol=1e-5)
