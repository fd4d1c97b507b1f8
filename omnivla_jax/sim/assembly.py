"""Assembles a suite's bodies, joints and options into MuJoCo models.

Lengths in m, angles in rad.
"""

from typing import NamedTuple

import mujoco
import numpy as np

from omnivla_jax.sim import panda
from omnivla_jax.sim.arenas import ARENAS, add_arena
from omnivla_jax.sim.objects import (
    FIXTURES,
    MOVABLES,
    MOVING_PART_INERTIA,
    MOVING_PART_MASS,
    Part,
)
from omnivla_jax.sim.primitives import Collides, add_primitive
from omnivla_jax.sim.tasks import Suite

OBJECT_FRICTION = (0.95, 0.3, 0.1)
OBJECT_SOLREF = (0.001, 1.0)
OBJECT_SOLIMP = (0.998, 0.998, 0.001, 0.5, 2.0)
FREE_JOINT_DAMPING = 0.0005
# Explicit damping is stable while dt * damping / inertia stays under this.
DAMPING_LIMIT = 0.5
MAX_GEOM_PAIRS, MAX_CONTACT_POINTS = 32, 32


class Preset(NamedTuple):
    """How finely the physics is integrated; `substeps * timestep` is 50 ms."""

    timestep: float  # s
    substeps: int
    iterations: int  # Newton
    ls_iterations: int
    explicit_damping: bool


PRESETS: dict[str, Preset] = {
    "original": Preset(0.002, 25, 100, 50, False),
    "faithful": Preset(0.005, 10, 4, 50, True),
    "fast": Preset(0.005, 10, 2, 50, True),
}


def compile_model(
    table: Suite, preset: Preset, *, visual: bool = False, watched: bool = False
) -> mujoco.MjModel:
    """The model of a suite; bodies and joints are the same in all three variants.

    Args:
      table: the suite.
      preset: how finely it is integrated.
      visual: with the looks, instead of collision geoms only.
      watched: with one sensor for each of `contact_pairs`, for C MuJoCo.
    """
    spec = mujoco.MjSpec()
    _set_options(spec, preset)
    for material in _materials_used(table):
        spec.add_material(name=material)
    arena = ARENAS[table.arena]
    add_arena(spec, arena)
    panda.add_panda(spec, arena.robot_base)
    for placement in table.movables:
        _add_movable(spec, placement.name)
    for placement in table.fixtures:
        _add_fixture(spec, placement.name, arena.fixture_z[placement.name])
    if not visual:
        _drop_looks(spec)
    if watched:
        _watch_contacts(spec, table)
    elif not visual:
        _flatten_table(spec, arena.workspace_z)
    model = spec.compile()
    if preset.explicit_damping:
        _cap_damping(model)
    return model


def _set_options(spec: mujoco.MjSpec, preset: Preset) -> None:
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
    # MJX keeps the deepest contacts only; C MuJoCo ignores these two.
    spec.add_numeric(name="max_geom_pairs", data=[MAX_GEOM_PAIRS])
    spec.add_numeric(name="max_contact_points", data=[MAX_CONTACT_POINTS])


def _materials_used(table: Suite) -> tuple[str, ...]:
    names = {"floor", "wall", "table", "leg", "plain"}
    names |= {look.material for looks in panda.LOOKS.values() for look in looks}
    names |= {"robot_white", "robot_grey", "robot_dark"}
    parts = [MOVABLES[p.name].part for p in table.movables]
    for placement in table.fixtures:
        fixture = FIXTURES[placement.name]
        parts += [fixture.base, *fixture.parts]
    for part in parts:
        names |= {shape.material for shape in part.collision + (part.look or ())}
    return tuple(sorted(names))


def _add_movable(spec: mujoco.MjSpec, name: str) -> None:
    movable = MOVABLES[name]
    body = spec.worldbody.add_body(
        name=name,
        mass=movable.mass,
        ipos=movable.center,
        iquat=movable.inertia_quaternion,
        inertia=movable.inertia,
        explicitinertial=True,
    )
    joint = body.add_freejoint(name=f"{name}_joint")
    joint.damping = [FREE_JOINT_DAMPING, 0, 0]
    _add_shapes(body, movable.part, "object")


def _add_fixture(spec: mujoco.MjSpec, name: str, z: float) -> None:
    fixture = FIXTURES[name]
    base = spec.worldbody.add_body(name=name, pos=(0, 0, z))
    _add_shapes(base, fixture.base, "fixture")
    for part in fixture.parts:
        body = base.add_body(
            name=f"{name}/{part.name}",
            pos=part.position,
            quat=part.quaternion,
            mass=MOVING_PART_MASS,
            ipos=(0, 0, 0),  # left out, MjSpec takes the body's position
            iquat=(1, 0, 0, 0),
            inertia=MOVING_PART_INERTIA,
            explicitinertial=True,
        )
        _add_joint(body, f"{name}/{part.name}", part)
        _add_shapes(body, part, "fixture")


def _add_joint(body: mujoco.MjsBody, name: str, part: Part) -> None:
    assert part.joint is not None, f"moving part {name!r} needs a joint"
    kinds = {"slide": mujoco.mjtJoint.mjJNT_SLIDE, "hinge": mujoco.mjtJoint.mjJNT_HINGE}
    body.add_joint(
        name=name,
        type=kinds[part.joint.kind],
        axis=part.joint.axis,
        limited=True,
        range=part.joint.range,
        damping=[part.joint.damping, 0, 0],
    )


def _add_shapes(body: mujoco.MjsBody, part: Part, role: Collides) -> None:
    hidden = part.look is not None
    for shape in part.collision:
        geom = add_primitive(body, shape, collides=role, visible=not hidden)
        geom.friction = OBJECT_FRICTION
        geom.solref, geom.solimp = OBJECT_SOLREF, OBJECT_SOLIMP
    for shape in part.look or ():
        add_primitive(body, shape, collides="nothing")


def _drop_looks(spec: mujoco.MjSpec) -> None:
    for geom in list(spec.geoms):
        if geom.contype == 0 and geom.conaffinity == 0:
            spec.delete(geom)


def _flatten_table(spec: mujoco.MjSpec, height: float) -> None:
    """The table top as a plane, for MJX.

    MJX keeps the `max_geom_pairs` pairs whose bounding spheres overlap most. A slab's
    sphere overlaps everything, so its pairs would crowd out all others.
    """
    (slab,) = spec.body("table").geoms
    slab.type, slab.size = mujoco.mjtGeom.mjGEOM_PLANE, (0.5, 0.6, 0.01)
    slab.pos = (0, 0, height)


def _cap_damping(model: mujoco.MjModel) -> None:
    limit = DAMPING_LIMIT * model.dof_M0 / model.opt.timestep
    model.dof_damping[:] = np.minimum(model.dof_damping, limit)


def contact_pairs(table: Suite) -> tuple[tuple[str, str], ...]:
    """Body pairs whose contact some goal asks about: subject, target or its parent."""
    goals = [goal for task in table.tasks for goal in task.goal]
    pairs = {
        (goal.subject, goal.target.split("/")[0]): None
        for goal in goals
        if goal.predicate == "On" and goal.target not in table.table_regions
    }
    return tuple(pairs)


def _watch_contacts(spec: mujoco.MjSpec, table: Suite) -> None:
    """One sensor a pair: how many contacts join the two bodies' subtrees."""
    for first, second in contact_pairs(table):
        spec.add_sensor(
            name=f"{first} touches {second}",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=first,
            reftype=mujoco.mjtObj.mjOBJ_XBODY,
            refname=second,
            intprm=[1, 0, 1],  # report `found`, unreduced, one slot
        )
