"""The stages of one physics substep: what is jointed by MJX, the rest by ours.

MJX's own collision driver, constraint rows and solver are left out: on a CPU they take
nine tenths of a substep. So are free bodies, which need no tree. Every environment
carries its own fixture poses, as batched fields of one shared model.
Axes: B environments; S slots, C bodies, Q positions and V degrees of freedom of a play.
"""

import copy
import functools
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim.engines.mjx import active_bodies, free_bodies, mjx
from omnivla_jax.sim.engines.mjx.contact import (
    collision,
    constraint,
    jacobian,
    solver,
    tables,
)
from omnivla_jax.sim.engines.mjx.contact.candidates import of
from omnivla_jax.sim.mjcf import compile_model
from omnivla_jax.sim.state import PhysicsState, Scene


class Engine(NamedTuple):
    """What is jointed and an empty state of it, on the device, and static tables."""

    model: mjx.Model  # without contacts and constraints
    blank: mjx.Data
    roots: np.ndarray  # int [V of the model]: the root body of each degree of freedom
    plays: active_bodies.ActiveBodies
    objects: free_bodies.Constants  # of each movable; an empty slot's last
    around: free_bodies.Medium
    contacts: tables.ContactTables
    joints: constraint.JointTables


class Flight(NamedTuple):
    """The free bodies of a batch, between contacts."""

    bodies: free_bodies.Constants  # [B, S, ...]
    at: free_bodies.Pose
    dynamics: free_bodies.Dynamics


@functools.lru_cache(maxsize=8)
def engine(scene: Scene) -> Engine:
    """What all programs of one scene share."""
    jointed = _jointed_model(scene)
    bare, flags = copy.copy(jointed), mujoco.mjtDisableBit
    bare.opt.disableflags |= int(flags.mjDSBL_CONTACT) | int(flags.mjDSBL_CONSTRAINT)
    watched = [
        (scene.bodies[first], scene.bodies[second])
        for first, second in scene.contact_pairs
    ]
    cast = active_bodies.plays(scene)
    objects = [scene.bodies[name] for name in scene.assets.objects]
    # Under a trace these would be tracers, and of its mesh, which must not outlive it
    # in a cache.
    nowhere = jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))
    with jax.ensure_compile_time_eval(), nowhere:
        return Engine(
            mjx.put_model(bare, impl="jax"),
            mjx.make_data(bare, impl="jax"),
            jointed.body_rootid[jointed.dof_bodyid],
            cast,
            free_bodies.constants(scene.model, objects),
            free_bodies.medium(scene.model),
            tables.build(
                scene.model,
                watched,
                active_bodies.body_subsets(cast),
                room=_room(scene),
            ),
            constraint.joint_tables(jointed),
        )


def _room(scene: Scene) -> tables.Room:
    """What the fullest of the scene's tasks needs."""
    tasks = [scene.tasks[row] for row in scene.task_ids]
    if any(start.reference for task in tasks for start in task.objects):
        return tables.STACKED
    several = any(len(task.goal) > 1 for task in tasks)
    return tables.GATHERED if several else tables.SPARSE


def _jointed_model(scene: Scene) -> mujoco.MjModel:
    """The scene without objects: the same bodies and joints in the same order."""
    assets = scene.assets._replace(objects={})
    return compile_model(assets, scene.preset, plane_tables=True)


def each(
    scene: Scene, physics: PhysicsState, stage: Callable[..., mjx.Data], *values: Any
) -> mjx.Data:
    """`stage(engine, *values)` for every environment, with its own fixtures."""
    shared = engine(scene)
    jointed = shared.plays.jointed.bodies.tolist()
    ids = np.array([jointed.index(scene.bodies[name]) for name in scene.posed_bodies])

    def one(position: jax.Array, quaternion: jax.Array, *own: Any) -> mjx.Data:
        model = shared.model.replace(
            body_pos=shared.model.body_pos.at[ids].set(position),
            body_quat=shared.model.body_quat.at[ids].set(quaternion),
        )
        return stage(shared._replace(model=model), *own)

    return jax.vmap(one)(physics.fixture_pos, physics.fixture_quat, *values)


def pose(engine: Engine, qpos: jax.Array) -> mjx.Data:
    """Poses of what is jointed only; of `qpos` [Q] the rest is left out."""
    qpos = qpos[: engine.model.nq]
    return mjx.kinematics(engine.model, engine.blank.replace(qpos=qpos))


def smooth(engine: Engine, qpos: jax.Array, qvel: jax.Array) -> mjx.Data:
    """All that positions and velocities of what is jointed determine, but contacts."""
    qpos, qvel = qpos[: engine.model.nq], qvel[: engine.model.nv]
    data = engine.blank.replace(qpos=qpos, qvel=qvel)
    position = (mjx.kinematics, mjx.com_pos, mjx.crb, mjx.factor_m, mjx.transmission)
    for stage in (*position, mjx.fwd_velocity):
        data = stage(engine.model, data)
    return data


def unconstrained(engine: Engine, data: mjx.Data, ctrl: jax.Array) -> mjx.Data:
    """The motors' forces and the acceleration that all but contacts cause."""
    data = mjx.fwd_actuation(engine.model, data.replace(ctrl=ctrl))
    return mjx.fwd_acceleration(engine.model, data)


def free_poses(scene: Scene, qpos: jax.Array) -> free_bodies.Pose:
    """Where the slots' bodies are in `qpos` [B, Q]."""
    slots = qpos[:, engine(scene).model.nq :]
    return free_bodies.pose(slots.reshape(len(qpos), -1, active_bodies.POSE))


def fly(scene: Scene, play: jax.Array, state: active_bodies.State) -> Flight:
    """All that positions and velocities of the free bodies determine."""
    shared = engine(scene)
    bodies = jax.tree.map(
        lambda table: of(play, table[shared.plays.movable]), shared.objects
    )
    qvel = state.qvel[:, shared.model.nv :].reshape(len(play), -1, active_bodies.FREE)
    at = free_poses(scene, state.qpos)
    return Flight(bodies, at, free_bodies.dynamics(bodies, shared.around, at, qvel))


def body_count(scene: Scene) -> int:
    """C."""
    tables = engine(scene).plays
    return len(tables.jointed.bodies) + tables.movable.shape[1]


def bodies(data: mjx.Data, at: free_bodies.Pose) -> tuple[jax.Array, jax.Array]:
    """Positions [B, C, 3] and quaternions [B, C, 4] of a play's bodies."""
    return (
        jnp.concatenate([data.xpos, at.position], axis=1),
        jnp.concatenate([data.xquat, at.quaternion], axis=1),
    )


def contacts(
    scene: Scene, play: jax.Array, data: mjx.Data, at: free_bodies.Pose
) -> collision.CollisionResult:
    """Contacts, watched pairs and overflow at the batch's poses."""
    table = engine(scene).contacts
    position, _ = bodies(data, at)
    matrix = jnp.concatenate([data.xmat, at.matrix], axis=1)
    geoms = collision.boxes(table, play, position, matrix)
    return collision.search(table, play, geoms, len(scene.contact_pairs))


def constrain(
    scene: Scene,
    data: mjx.Data,
    flight: Flight,
    found: collision.CollisionResult,
    state: active_bodies.State,
) -> tuple[jax.Array, jax.Array]:
    """Accelerations, and forces of contacts, limits and joint friction: [B, V]."""
    shared, free = engine(scene), flight.dynamics
    turn, slide = free_bodies.axes(flight.at)
    motion = _motion(shared, data, turn, slide)
    table = shared.contacts
    problem = solver.Problem(
        mass=_blocks(mass(scene, data), free.mass),
        force=_joined(data.qfrc_smooth, free.force),
        cones=constraint.contact_rows(
            table, found.contacts, found.standing, motion, state.qvel
        ),
        joints=_joint_rows(shared, data, state.qvel.shape[1]),
    )
    start = _joined(data.qacc_smooth, free.acceleration)
    iterations = scene.preset.iterations
    return solver.solve(problem, state.warmstart, start, iterations=iterations)


def integrate(
    scene: Scene,
    physics: PhysicsState,
    data: mjx.Data,
    flight: Flight,
    state: active_bodies.State,
    solved: tuple[jax.Array, jax.Array],
) -> active_bodies.State:
    """Euler's step with accelerations and constraint forces `solved` [B, V]."""
    model = engine(scene).model
    (acceleration, push), timestep = solved, scene.preset.timestep
    data = data.replace(
        qacc=acceleration[:, : model.nv], qfrc_constraint=push[:, : model.nv]
    )
    after = each(scene, physics, lambda shared, own: mjx.euler(shared.model, own), data)
    change = acceleration[:, model.nv :].reshape(len(push), -1, active_bodies.FREE)
    speed = state.qvel[:, model.nv :].reshape(change.shape)
    if not scene.preset.explicit_damping:
        free = flight.dynamics.mass
        change = free_bodies.damped(flight.bodies, free, change, timestep)
    qpos, qvel = free_bodies.integrate(flight.at, speed, change, timestep)
    return active_bodies.State(
        _joined(after.qpos, qpos), _joined(after.qvel, qvel), acceleration
    )


def mass(scene: Scene, data: mjx.Data) -> jax.Array:
    """The inertia matrices of what is jointed."""
    return jax.vmap(functools.partial(mjx.full_m, engine(scene).model))(data)


def _joined(jointed: jax.Array, free: jax.Array) -> jax.Array:
    return jnp.concatenate([jointed, free.reshape(len(free), -1)], axis=1)


def _blocks(jointed: jax.Array, free: jax.Array) -> jax.Array:
    """[B, V, V] of what is jointed and [B, S, 6, 6]."""
    size = jointed.shape[1] + free.shape[1] * free.shape[2]
    rest = size - jointed.shape[1]
    padded = jnp.pad(jointed, ((0, 0), (0, rest), (0, rest)))
    return padded + jacobian.block_diagonal(free, size)


def _joint_rows(shared: Engine, data: mjx.Data, size: int) -> constraint.Joints:
    """Those of what is jointed; the free bodies' [B, V] weigh nothing."""
    found = constraint.joint_rows(shared.joints, data.qpos, data.qvel)

    def pad(row: jax.Array) -> jax.Array:
        return jnp.pad(row, ((0, 0), (0, size - row.shape[1])))

    return jax.tree.map(pad, found)


def _motion(
    shared: Engine, data: mjx.Data, turn: jax.Array, slide: jax.Array
) -> constraint.Motion:
    # MJX's motion axes are about the centre of mass of the whole tree.
    angular, linear = data.cdof[..., :3], data.cdof[..., 3:]
    linear = linear - jnp.cross(angular, data.subtree_com[:, shared.roots])
    pairs = ((angular, turn), (linear, slide))
    return constraint.Motion(
        *(
            jnp.concatenate([one, free.reshape(len(free), -1, 3)], axis=1)
            for one, free in pairs
        )
    )
