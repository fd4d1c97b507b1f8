"""The stages of one physics substep: MJX's smooth dynamics, our contacts and solver.

MJX's own collision driver, constraint rows and solver are left out: on a CPU they take
nine tenths of a substep. Every environment carries its own fixture poses, as batched
fields of one shared model.
Axes: B environments, F fixtures.
"""

import copy
import functools
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim.contact import active, newton, rows, search, tables
from omnivla_jax.sim.quiet_mjx import mjx
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import Physics


class Engine(NamedTuple):
    """The scene's model and an empty state, on the device, and the static tables."""

    model: mjx.Model  # without contacts and constraints
    blank: mjx.Data
    contacts: tables.ContactTables
    joints: rows.JointTables
    slots: active.Slots | None


@functools.lru_cache(maxsize=8)
def engine(scene: Scene) -> Engine:
    """What all programs of one scene share."""
    bare, flags = copy.copy(scene.model), mujoco.mjtDisableBit
    bare.opt.disableflags |= int(flags.mjDSBL_CONTACT) | int(flags.mjDSBL_CONSTRAINT)
    watched = [
        (scene.bodies[first], scene.bodies[second])
        for first, second in scene.contact_pairs
    ]
    starts = [scene.tasks[row].movables for row in scene.playable]
    crowd = tables.Crowd(
        movables=max(len(row) for row in starts),
        stacked=any(start.reference for row in starts for start in row),
    )
    # Under a trace these would be tracers, which must not outlive it in a cache.
    with jax.ensure_compile_time_eval():
        return Engine(
            mjx.put_model(bare, impl="jax"),
            mjx.make_data(bare, impl="jax"),
            tables.build(scene.model, watched, crowd),
            rows.joint_tables(scene.model),
            active.slots(scene.model, crowd.movables),
        )


def each(
    scene: Scene, physics: Physics, stage: Callable[..., mjx.Data], *values: Any
) -> mjx.Data:
    """`stage(engine, *values)` for every environment, with its own fixtures."""
    ids = np.array([scene.bodies[name] for name in scene.posed])
    shared = engine(scene)

    def one(position: jax.Array, quaternion: jax.Array, *own: Any) -> mjx.Data:
        model = shared.model.replace(
            body_pos=shared.model.body_pos.at[ids].set(position),
            body_quat=shared.model.body_quat.at[ids].set(quaternion),
        )
        return stage(shared._replace(model=model), *own)

    return jax.vmap(one)(physics.fixture_pos, physics.fixture_quat, *values)


def pose(engine: Engine, qpos: jax.Array) -> mjx.Data:
    """Body and geom poses only."""
    return mjx.kinematics(engine.model, engine.blank.replace(qpos=qpos))


def smooth(engine: Engine, qpos: jax.Array, qvel: jax.Array) -> mjx.Data:
    """Everything that positions and velocities determine, but contacts."""
    data = engine.blank.replace(qpos=qpos, qvel=qvel)
    position = (mjx.kinematics, mjx.com_pos, mjx.crb, mjx.factor_m, mjx.transmission)
    for stage in (*position, mjx.fwd_velocity):
        data = stage(engine.model, data)
    return data


def unconstrained(engine: Engine, data: mjx.Data, ctrl: jax.Array) -> mjx.Data:
    """The motors' forces and the acceleration that all but contacts cause."""
    data = mjx.fwd_actuation(engine.model, data.replace(ctrl=ctrl))
    return mjx.fwd_acceleration(engine.model, data)


def integrate(engine: Engine, data: mjx.Data) -> mjx.Data:
    """Euler's step with the acceleration in `data`."""
    return mjx.euler(engine.model, data)


def contacts(scene: Scene, data: mjx.Data) -> search.Found:
    """Contacts, watched pairs and overflow at the batch's poses."""
    center = data.geom_xpos.transpose(2, 0, 1)
    axes = data.geom_xmat.transpose(2, 3, 0, 1)
    return search.search(engine(scene).contacts, center, axes, len(scene.contact_pairs))


def constrain(
    scene: Scene, data: mjx.Data, found: search.Contacts, warmstart: jax.Array
) -> mjx.Data:
    """Adds the accelerations and forces of contacts, limits and joint friction."""
    shared = engine(scene)
    chosen = active.choose(shared.slots, shared.contacts, found)
    inertia = active.take_square(chosen, mass(scene, data))
    motion, qvel, force, warm, smooth, joints = active.take(
        chosen,
        (
            _motion(scene.model, data),
            data.qvel,
            data.qfrc_smooth,
            warmstart,
            data.qacc_smooth,
            rows.joint_rows(shared.joints, data.qpos, data.qvel),
        ),
    )
    if chosen is not None:
        motion = motion._replace(dofs=chosen.dofs)
    cones = rows.contact_rows(shared.contacts, found, motion, qvel)
    acceleration, push = newton.solve(
        newton.Problem(inertia, force, cones, joints),
        warm,
        smooth,
        iterations=scene.preset.iterations,
    )
    return data.replace(
        qacc=active.put(chosen, acceleration, data.qacc_smooth),
        qfrc_constraint=active.put(chosen, push, jnp.zeros_like(data.qacc_smooth)),
    )


def mass(scene: Scene, data: mjx.Data) -> jax.Array:
    """The inertia matrices [B, V, V]."""
    return jax.vmap(functools.partial(mjx.full_m, engine(scene).model))(data)


def _motion(model: mujoco.MjModel, data: mjx.Data) -> rows.Motion:
    # MJX's motion axes are about the centre of mass of the whole tree.
    roots = model.body_rootid[model.dof_bodyid]
    angular, linear = data.cdof[..., :3], data.cdof[..., 3:]
    return rows.Motion(angular, linear - jnp.cross(angular, data.subtree_com[:, roots]))
