"""Assembles the bodies of scene assets, joints and options into MuJoCo models.

Lengths in m, angles in rad.
"""

from typing import Any

import mujoco
import numpy as np

from omnivla_jax.sim.assets import arena_geoms, meshes, panda
from omnivla_jax.sim.assets.arenas import ARENAS, BASE_BODY, table_body
from omnivla_jax.sim.assets.category import Part
from omnivla_jax.sim.assets.integrator_presets import IntegratorPreset
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.assets.primitives import Collides, Primitive, add_primitive
from omnivla_jax.sim.libero.tasks import SceneAssets

OBJECT_FRICTION = (0.95, 0.3, 0.1)
OBJECT_SOLREF = (0.001, 1.0)
OBJECT_SOLIMP = (0.998, 0.998, 0.001, 0.5, 2.0)
FREE_JOINT_DAMPING = 0.0005
# Explicit damping is stable while dt * damping / inertia stays under this.
DAMPING_LIMIT = 0.6
_JOINT_TYPES = {
    "slide": mujoco.mjtJoint.mjJNT_SLIDE,
    "hinge": mujoco.mjtJoint.mjJNT_HINGE,
}


def compile_model(
    assets: SceneAssets,
    preset: IntegratorPreset,
    *,
    visual: bool = False,
    contact_pairs: tuple[tuple[str, str], ...] = (),
    plane_tables: bool = False,
) -> mujoco.MjModel:
    """The model of the assets; bodies and joints are the same in all variants.

    Args:
      assets: the objects, fixtures and arenas.
      preset: how finely it is integrated.
      visual: with the visual shapes and lamps, instead of collision geoms only.
      contact_pairs: pairs of bodies that get a sensor each, which counts the contacts
        that join their subtrees.
      plane_tables: table tops are planes instead of boxes.

    Returns:
      The compiled model; bodies in the order arenas, robot, objects, fixtures.
    """
    spec = mujoco.MjSpec()
    _set_options(spec, preset)
    drawn = _shapes_drawn(assets)
    for material in sorted({shape.material for shape in drawn}):
        spec.add_material(name=material)
    for shape in drawn if visual else ():
        meshes.add(spec, shape.kind, shape.size, shape.vertices)
    arena_geoms.add(spec, assets.arenas, lamps=visual)
    base = ARENAS[assets.arenas[0]].robot_base
    panda.add_panda(spec, base)
    for shape in arena_geoms.pedestal(base[2]):
        add_primitive(spec.body(BASE_BODY), shape, collides="nothing")
    for name, category in assets.objects.items():
        _add_movable(spec, name, category)
    for name, category in assets.fixtures.items():
        _add_fixture(spec, name, category)
    for geom in () if visual else list(spec.geoms):
        if geom.contype == 0 and geom.conaffinity == 0:
            spec.delete(geom)
    for first, second in contact_pairs:
        spec.add_sensor(
            name=f"{first} touches {second}",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=first,
            reftype=mujoco.mjtObj.mjOBJ_XBODY,
            refname=second,
            intprm=[1, 0, 1],  # report `found`, unreduced, one slot
        )
    if plane_tables:
        _flatten_tables(spec, assets)
    model = spec.compile()
    if preset.explicit_damping:
        limit = DAMPING_LIMIT * model.dof_M0 / model.opt.timestep
        model.dof_damping[:] = np.minimum(model.dof_damping, limit)
    return model


def _set_options(spec: mujoco.MjSpec, preset: IntegratorPreset) -> None:
    spec.compiler.degree = False
    option = spec.option
    option.timestep = preset.timestep
    option.iterations, option.ls_iterations = preset.iterations, preset.ls_iterations
    option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
    option.impratio = 20.0
    option.density, option.viscosity = 1.2, 2e-5
    if preset.explicit_damping:
        option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
    # A diverging environment is to be seen and frozen, not silently reset.
    option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)


def _shapes_drawn(assets: SceneAssets) -> list[Primitive]:
    drawn = [*arena_geoms.shapes(assets.arenas), *panda.shapes()]
    for category in {**assets.objects, **assets.fixtures}.values():
        for part in CATEGORIES[category].parts:
            drawn += part.visual
    return drawn


def _add_movable(spec: mujoco.MjSpec, name: str, category: str) -> None:
    (root,) = CATEGORIES[category].parts
    body = spec.worldbody.add_body(name=name, **_inertial(root))
    joint = body.add_freejoint(name=f"{name}_joint0")
    joint.damping = [FREE_JOINT_DAMPING, 0, 0]
    _add_shapes(body, root, "object")


def _add_fixture(spec: mujoco.MjSpec, name: str, category: str) -> None:
    root, *moving = CATEGORIES[category].parts
    base = spec.worldbody.add_body(name=name)
    _add_shapes(base, root, "fixture")
    for part in moving:
        part_name, joint = f"{name}_{part.name}", part.joint
        assert joint is not None, f"moving part {part_name!r} needs a joint"
        body = base.add_body(
            name=part_name,
            pos=part.position,
            quat=part.quaternion,
            **_inertial(part),
        )
        body.add_joint(
            name=part_name,
            type=_JOINT_TYPES[joint.kind],
            axis=joint.axis,
            limited=True,
            range=joint.range,
            damping=[joint.damping, 0, 0],
        )
        _add_shapes(body, part, "fixture")


def _inertial(part: Part) -> dict[str, Any]:
    assert part.inertia is not None, f"moving part {part.name!r} needs an inertia"
    return {
        "mass": part.inertia.mass,
        "ipos": part.inertia.center,  # left out, MjSpec takes the body's position
        "iquat": part.inertia.quaternion,
        "inertia": part.inertia.moments,
        "explicitinertial": True,
    }


def _add_shapes(body: mujoco.MjsBody, part: Part, role: Collides) -> None:
    drawn = part.visual
    same = len(drawn) == len(part.collision) and all(
        shape == visual._replace(material=shape.material)
        for shape, visual in zip(part.collision, drawn)
    )
    for shape in drawn if same else part.collision:
        geom = add_primitive(body, shape, collides=role, visible=same)
        geom.friction = OBJECT_FRICTION
        geom.solref, geom.solimp = OBJECT_SOLREF, OBJECT_SOLIMP
    for shape in () if same else drawn:
        add_primitive(body, shape, collides="nothing")


def _flatten_tables(spec: mujoco.MjSpec, assets: SceneAssets) -> None:
    """Table tops as planes, for MJX, which stands things on the highest one.

    A plane touches a body in four points, a box each of the body's boxes in four, so
    that things at rest would fill the engine's budget of contacts. Tables of other
    arenas are moved far below.
    """
    tables = {name: ARENAS[name].table for name in assets.arenas}
    if all(tables.values()):
        spec.delete(spec.geom("floor"))
    for name, table in tables.items():
        if table is None:
            continue
        (x0, y0, _), (x1, y1, z) = table.low, table.high
        (top,) = spec.body(table_body(name)).geoms
        top.type = mujoco.mjtGeom.mjGEOM_PLANE
        top.size = ((x1 - x0) / 2, (y1 - y0) / 2, 0.01)
        top.pos = ((x0 + x1) / 2, (y0 + y1) / 2, z)
