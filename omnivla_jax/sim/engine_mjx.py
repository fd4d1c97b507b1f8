"""MJX as a physics engine: controller, contacts and solver inside the program.

Same contract as the C engine's. Every environment carries its own fixture poses, as
batched fields of one shared model. A substep is one pass through MJX's stages; only
the body poses are computed once more, at the end of the control step.
Axes: B environments, N bodies, F fixtures, P watched contact pairs, C contacts.
"""

import contextlib
import dataclasses
import functools
import io
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from omnivla_jax.sim import control, panda, rotation
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import Physics

# On import MJX prints that it misses warp, its second implementation: not ours.
with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx

_ARM = slice(0, panda.NUM_JOINTS)
RANKING_RADIUS = 1.7  # of a box, in units of the geometric mean of its half sizes


class _Motion(NamedTuple):
    """What changes from substep to substep."""

    qpos: jax.Array  # [B, nq]
    qvel: jax.Array  # [B, nv]
    warmstart: jax.Array  # [B, nv]
    closing: jax.Array  # [B]
    terms: control.Dynamics
    touching: jax.Array  # [B, P]


def control_step(
    scene: Scene, physics: Physics, action: jax.Array, active: jax.Array
) -> Physics:
    """Advance by one control step of 50 ms, controller and substeps included.

    Args:
      scene: the static tables.
      physics: the batch's state.
      action: float32 [B, 7] in [-1, 1].
      active: bool [B]; the others are left as they are.
    """
    # TensorFloat-32, the default on recent GPUs, makes the physics drift.
    with jax.default_matmul_precision("highest"):
        after = _advance(scene, physics, jnp.clip(action, -1.0, 1.0))

    def select(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(active.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

    return jax.tree.map(select, after, physics)


def forward(scene: Scene, physics: Physics) -> Physics:
    """Recompute body poses and contacts from `qpos`, without stepping."""
    with jax.default_matmul_precision("highest"):
        data = _each(scene, physics, _contacts, physics.qpos)
        touching = jax.vmap(functools.partial(_touching, scene))(data)
    return dataclasses.replace(
        physics, xpos=data.xpos, xquat=data.xquat, touching=touching
    )


class _Engine(NamedTuple):
    """The scene's model and an empty state, on the device."""

    model: mjx.Model
    blank: mjx.Data


@functools.lru_cache(maxsize=8)
def _engine(scene: Scene) -> _Engine:
    # Under a trace these would be tracers, which must not outlive it in a cache.
    with jax.ensure_compile_time_eval():
        model = mjx.put_model(scene.model, impl="jax")
        model = model.replace(geom_rbound=jnp.array(_ranking_radii(scene)))
        return _Engine(model, mjx.make_data(scene.model, impl="jax"))


def _ranking_radii(scene: Scene) -> np.ndarray:
    """The radius of each geom by which MJX ranks pairs for `max_geom_pairs`.

    A panel's bounding sphere overlaps far more than the panel. Ranked by the
    geometric mean of the half sizes, every touching pair of recorded LIBERO episodes
    is among the first 28; by bounding spheres only among the first 57.
    """
    sizes = scene.model.geom_size
    boxes = scene.model.geom_type == mujoco.mjtGeom.mjGEOM_BOX
    means = np.prod(np.maximum(sizes, 0.0), axis=1) ** (1 / 3)
    return np.where(boxes, RANKING_RADIUS * means, scene.model.geom_rbound)


def _each(
    scene: Scene, physics: Physics, stage: Callable[..., mjx.Data], *values: Any
) -> mjx.Data:
    """`stage(engine, *values)` for every environment, with its own fixtures."""
    ids = np.array([scene.bodies[name] for name in scene.posed])
    engine = _engine(scene)

    def one(position: jax.Array, quaternion: jax.Array, *own: Any) -> mjx.Data:
        model = engine.model.replace(
            body_pos=engine.model.body_pos.at[ids].set(position),
            body_quat=engine.model.body_quat.at[ids].set(quaternion),
        )
        return stage(engine._replace(model=model), *own)

    return jax.vmap(one)(physics.fixture_pos, physics.fixture_quat, *values)


def _pose(engine: _Engine, qpos: jax.Array) -> mjx.Data:
    """Body poses only."""
    return mjx.kinematics(engine.model, engine.blank.replace(qpos=qpos))


def _contacts(engine: _Engine, qpos: jax.Array) -> mjx.Data:
    """Body poses and contacts."""
    return mjx.collision(engine.model, _pose(engine, qpos))


def _current(engine: _Engine, qpos: jax.Array, qvel: jax.Array) -> mjx.Data:
    """Everything that positions and velocities determine, contacts included."""
    data = engine.blank.replace(qpos=qpos, qvel=qvel)
    return mjx.fwd_velocity(engine.model, mjx.fwd_position(engine.model, data))


def _integrate(
    engine: _Engine, data: mjx.Data, ctrl: jax.Array, warmstart: jax.Array
) -> mjx.Data:
    """Forces, contact solver and Euler's step, from the stages already in `data`."""
    data = data.replace(ctrl=ctrl, qacc_warmstart=warmstart)
    for stage in (mjx.fwd_actuation, mjx.fwd_acceleration, mjx.solve, mjx.euler):
        data = stage(engine.model, data)
    return data


def _advance(scene: Scene, physics: Physics, action: jax.Array) -> Physics:
    """One control step of every environment."""
    hand, batch = scene.bodies[panda.EEF_BODY], action.shape[0]
    orientation = rotation.matrix(physics.xquat[:, hand], jnp)
    current = control.PoseGoal(physics.xpos[:, hand], orientation)
    held = control.PoseGoal(physics.goal_pos, physics.goal_mat)
    goal = control.set_goal(action, current, held, physics.fresh, jnp)
    motion = _Motion(
        qpos=physics.qpos,
        qvel=physics.qvel,
        warmstart=physics.warmstart,
        closing=physics.gripper,
        terms=control.Dynamics(
            jnp.zeros((batch, 3, 3)), jnp.zeros((batch, 3, 3)), jnp.zeros((batch, 7, 7))
        ),
        touching=physics.touching,
    )
    substep = functools.partial(_substep, scene, physics, action, goal)
    motion, _ = jax.lax.scan(substep, motion, jnp.arange(scene.preset.substeps))
    end = _each(scene, physics, _pose, motion.qpos)
    return dataclasses.replace(
        physics,
        qpos=motion.qpos,
        qvel=motion.qvel,
        warmstart=motion.warmstart,
        goal_pos=goal.position,
        goal_mat=goal.orientation,
        gripper=motion.closing,
        fresh=jnp.zeros_like(physics.fresh),
        xpos=end.xpos,
        xquat=end.xquat,
        touching=motion.touching,
    )


def _substep(
    scene: Scene,
    physics: Physics,
    action: jax.Array,
    goal: control.PoseGoal,
    motion: _Motion,
    index: jax.Array,
) -> tuple[_Motion, None]:
    """Controller, then integrator."""
    data = _each(scene, physics, _current, motion.qpos, motion.qvel)
    arm = _read_arm(scene, data)
    substeps = scene.preset.substeps
    refresh = control.refresh_substeps(scene.preset.timestep, substeps)
    terms = jax.lax.cond(
        index % refresh == 0,
        lambda: control.dynamics(_arm_mass(scene, data), arm.jacobian, jnp),
        lambda: motion.terms,
    )
    # LIBERO's controller sleeps through its first update after a reset.
    sleeps = (physics.fresh & (index == 0))[:, None]
    torque = jnp.where(sleeps, arm.bias, control.torque(terms, arm, goal, jnp))
    closing = control.ramp_gripper(motion.closing, action[:, 6], substeps, jnp)
    ctrl = jnp.concatenate([torque, control.finger_targets(closing, jnp)], axis=-1)
    after = _each(scene, physics, _integrate, data, ctrl, motion.warmstart)
    return (
        _Motion(
            qpos=after.qpos,
            qvel=after.qvel,
            warmstart=after.qacc_warmstart,
            closing=closing,
            terms=terms,
            # As the C engine's sensors: contacts at the start of the last substep.
            touching=jax.vmap(functools.partial(_touching, scene))(data),
        ),
        None,
    )


def _read_arm(scene: Scene, data: mjx.Data) -> control.Arm:
    hand = scene.bodies[panda.EEF_BODY]
    position = data.xpos[:, hand]
    anchors, axes = data.xanchor[:, _ARM], data.xaxis[:, _ARM]
    return control.Arm(
        position=position,
        orientation=rotation.matrix(data.xquat[:, hand], jnp),
        jacobian=control.jacobian(anchors, axes, position, jnp),
        joints=data.qpos[:, _ARM],
        velocity=data.qvel[:, _ARM],
        bias=data.qfrc_bias[:, _ARM],
    )


def _arm_mass(scene: Scene, data: mjx.Data) -> jax.Array:
    """The arm's block [B, 7, 7] of the inertia matrix."""
    model = _engine(scene).model
    return jax.vmap(lambda one: mjx.full_m(model, one))(data)[:, _ARM, _ARM]


def _touching(scene: Scene, data: mjx.Data) -> jax.Array:
    """bool [P] of one environment: which watched pairs of bodies are in contact."""
    roots = scene.model.body_rootid[scene.model.geom_bodyid]
    contact = data._impl.contact
    ends = jnp.asarray(roots)[contact.geom]  # [C, 2]
    pairs = [[scene.bodies[name] for name in pair] for pair in scene.contact_pairs]
    wanted = jnp.array(pairs)[:, None]  # [P, 1, 2]
    matches = jnp.all(ends == wanted, -1) | jnp.all(ends[:, ::-1] == wanted, -1)
    return jnp.any(matches & (contact.dist < 0), axis=-1)
