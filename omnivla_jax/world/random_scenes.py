"""Draws scenes for stage I: anything that a policy could see, posed without physics.

Half of the scenes are states along the expert's episodes, with the hand at objects and
objects held or put down; half are fresh layouts with the arm anywhere. In half of both
objects are displaced, turned and lifted, and drawers, doors and knobs stand anywhere.
Cameras, lights and materials vary in all.

Axes: B environments, P states of the pool, M objects, J joints of fixtures, F posed
bodies, T control steps.
"""

import functools
from typing import NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env, rotation
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.engines import registry as engines
from omnivla_jax.sim.goals import task_ids
from omnivla_jax.sim.resets import region_sampler
from omnivla_jax.sim.resets.region_tables import layout
from omnivla_jax.sim.state import PhysicsState, Scene
from omnivla_jax.world import expert
from omnivla_jax.world.demos import add_action_noise
from omnivla_jax.world.perturbations import camera, lights, materials
from omnivla_jax.world.visual_scene import VisualScene

Number = float | jax.Array
POOL_STRIDE = 4  # control steps between two states of the pool


class SceneRanges(NamedTuple):
    """How far random scenes go: numbers, which may be traced."""

    pool_share: Number = 0.5  # scenes that are states of the expert's episodes
    moved_share: Number = 0.5  # scenes whose objects and joints are displaced
    arm: Number = 0.25  # rad, deviation of each joint of the arm
    displacement: Number = 0.1  # m, largest along x and y
    lift: Number = 0.25  # m, largest
    lifted_share: Number = 0.25  # displaced objects that are lifted as well
    camera_severity: Number = 1.0
    camera_kinds: Sequence[Number] = camera.KIND_SHARES  # how often each kind
    light_severity: Number = 1.0
    material_severity: Number = 1.0
    nominal_share: Number = 0.25  # scenes with the nominal camera, lights, materials


class StatePool(NamedTuple):
    """States along the expert's episodes."""

    task: jax.Array  # int32 [P]
    qpos: jax.Array  # float32 [P, nq]
    fixture_pos: jax.Array  # float32 [P, F, 3]
    fixture_quat: jax.Array  # float32 [P, F, 4]


def make_pool(
    scene: Scene, key: jax.Array, tasks: Sequence[int], *, episodes: int, steps: int
) -> StatePool:
    """Play the expert and keep every fourth state.

    Args:
      scene: the static tables.
      key: consumed.
      tasks: rows of the suite, which take turns; the expert must know them.
      episodes: how many are played together.
      steps: control steps T of each.

    Returns:
      P = episodes * T / 4 states.
    """
    task = jnp.asarray(np.resize(np.array(tasks, np.int32), episodes))
    return compilation.jit(functools.partial(_record, scene, steps=steps))(task, key)


def _record(scene: Scene, task: jax.Array, key: jax.Array, *, steps: int) -> StatePool:
    reset_key, noise_key = jax.random.split(key)
    start = env.reset(scene, task, jax.random.split(reset_key, task.shape[0]))

    def step(
        carry: tuple[env.EnvState, expert.ExpertState], key: jax.Array
    ) -> tuple[tuple[env.EnvState, expert.ExpertState], jax.Array]:
        state, expert_state = carry
        action, expert_state = expert.act(scene, state, expert_state)
        action = add_action_noise(key, action, 0.1)
        after, _ = env.step(scene, state, action)
        return (after, expert_state), state.physics.qpos

    keys = jax.random.split(noise_key, steps)
    _, qpos = jax.lax.scan(step, (start, expert.init(start)), keys)
    kept = qpos[::POOL_STRIDE]

    def repeat(leaf: jax.Array) -> jax.Array:
        tiled = jnp.broadcast_to(leaf, (len(kept), *leaf.shape))
        return tiled.reshape(-1, *leaf.shape[1:])

    physics = start.physics
    return StatePool(
        repeat(task),
        kept.reshape(-1, kept.shape[-1]),
        repeat(physics.fixture_pos),
        repeat(physics.fixture_quat),
    )


def draw(
    scene: Scene,
    visuals: VisualScene,
    pool: StatePool | None,
    keys: jax.Array,
    *,
    ranges: SceneRanges,
    split: str = "all",
) -> tuple[jax.Array, PhysicsState, VisualScene]:
    """Draw scenes, each from its key alone.

    Args:
      scene: the static tables.
      visuals: the nominal shapes, materials, lights and cameras.
      pool: of the expert's states; None: fresh layouts alone.
      keys: typed keys [B]; consumed.
      ranges: how far they go.
      split: of `perturbations.kinds.SPLITS`, which part of the ranges of cameras,
        lights and materials is drawn from.

    Returns:
      Tasks int32 [B], the states with poses of all bodies, and their materials and
      lights.
    """
    chex.assert_rank(keys, 1)
    task_key, state_key, pool_key, move_key, visuals_key = jnp.moveaxis(
        jax.vmap(lambda key: jax.random.split(key, 5))(keys), 1, 0
    )
    task = jax.vmap(lambda key: jax.random.choice(key, jnp.array(scene.task_ids)))(
        task_key
    ).astype(jnp.int32)
    fresh = region_sampler.sample(scene, task_ids.rows(scene, task), state_key)
    states = StatePool(task, fresh.qpos, fresh.fixture_pos, fresh.fixture_quat)
    states = states._replace(qpos=_move_arm(states.qpos, state_key, ranges))
    if pool is not None:
        states = _from_pool(pool, states, pool_key, ranges)
    qpos = _move_objects(scene, states, move_key, ranges)
    physics = engines.init_state(
        scene,
        task_ids.rows(scene, states.task),
        qpos,
        jnp.zeros((len(keys), scene.model.nv)),
        states.fixture_pos,
        states.fixture_quat,
    )
    seen = _vary_visuals(scene, visuals, physics, visuals_key, ranges, split)
    return states.task, *seen


def _from_pool(
    pool: StatePool, fresh: StatePool, keys: jax.Array, ranges: SceneRanges
) -> StatePool:
    """The share of the states that is drawn from the pool, the others fresh."""

    def pick(key: jax.Array, own: StatePool) -> StatePool:
        row_key, share_key = jax.random.split(key)
        row = jax.random.randint(row_key, (), 0, len(pool.task))
        use = jax.random.bernoulli(share_key, ranges.pool_share)
        return jax.tree.map(lambda a, b: jnp.where(use, a[row], b), pool, own)

    return jax.vmap(pick)(keys, fresh)


def _move_arm(qpos: jax.Array, keys: jax.Array, ranges: SceneRanges) -> jax.Array:
    """The arm anywhere around its home pose, the fingers open by any amount."""
    low, high = np.array([link.joint_range for link in panda.LINKS[1:]]).T

    def move(key: jax.Array, row: jax.Array) -> jax.Array:
        arm_key, finger_key = jax.random.split(jax.random.fold_in(key, 1))
        noise = ranges.arm * jax.random.normal(arm_key, (panda.NUM_JOINTS,))
        arm = jnp.clip(row[: panda.NUM_JOINTS] + noise, low, high)
        opening = panda.FINGER_TRAVEL * jax.random.uniform(finger_key)
        signs = jnp.sign(jnp.asarray(panda.FINGERS_AT_RESET))
        end = panda.NUM_JOINTS + len(panda.FINGERS_AT_RESET)
        return jnp.concatenate([arm, signs * opening, row[end:]])

    return jax.vmap(move)(keys, qpos)


def _move_objects(
    scene: Scene, states: StatePool, keys: jax.Array, ranges: SceneRanges
) -> jax.Array:
    """`qpos` with the objects and joints of some scenes displaced: [B, nq]."""
    tables, model = layout(scene), scene.model
    starts = [scene.joints[f"{name}_joint0"][0] for name in scene.assets.objects]
    joints = [scene.joints[name][0] for name in tables.joint_names]
    numbers = [model.joint(name).id for name in tables.joint_names]
    limits = jnp.asarray(model.jnt_range[numbers], jnp.float32).reshape(-1, 2)
    present = jnp.asarray(tables.objects.present)

    def move(key: jax.Array, task: jax.Array, qpos: jax.Array) -> jax.Array:
        share_key, xy_key, lift_key, high_key, yaw_key, joint_key = jax.random.split(
            key, 6
        )
        moved, count = qpos, len(starts)
        shift = ranges.displacement * jax.random.uniform(
            xy_key, (count, 2), minval=-1.0, maxval=1.0
        )
        lifted = jax.random.bernoulli(lift_key, ranges.lifted_share, (count,))
        lift = ranges.lift * lifted * jax.random.uniform(high_key, (count,))
        yaw = jax.random.uniform(yaw_key, (count,), minval=-np.pi, maxval=np.pi)
        there = present[task]
        for row, start in enumerate(starts):
            offset = jnp.append(shift[row], lift[row])
            turned = rotation.turn_about_z(qpos[start + 3 : start + 7], yaw[row], jnp)
            pose = jnp.concatenate([qpos[start : start + 3] + offset, turned])
            kept = jnp.where(there[row], pose, qpos[start : start + 7])
            moved = moved.at[start : start + 7].set(kept)
        if joints:
            share = jax.random.uniform(joint_key, (len(joints),))
            drawn = limits[:, 0] + share * (limits[:, 1] - limits[:, 0])
            moved = moved.at[jnp.array(joints)].set(drawn)
        return jnp.where(
            jax.random.bernoulli(share_key, ranges.moved_share), moved, qpos
        )

    rows = task_ids.rows(scene, states.task)
    return jax.vmap(move)(keys, rows, states.qpos)


def _vary_visuals(
    scene: Scene,
    visuals: VisualScene,
    physics: PhysicsState,
    keys: jax.Array,
    ranges: SceneRanges,
    split: str,
) -> tuple[PhysicsState, VisualScene]:
    """Other cameras, lights and materials, but for the nominal share."""
    camera_keys, light_keys, material_keys, share_keys = jnp.moveaxis(
        jax.vmap(lambda key: jax.random.split(key, 4))(keys), 1, 0
    )
    perturbs = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - ranges.nominal_share))
    share = perturbs(share_keys).astype(jnp.float32)
    shift = camera.draw_any_kind(
        camera_keys,
        kind_shares=ranges.camera_kinds,
        severity=ranges.camera_severity * share,
        split=split,
    )
    physics = camera.mount(scene, physics, shift)
    every_kind = jnp.ones((len(keys), len(lights.KINDS)), bool)
    change = lights.draw(
        light_keys, every_kind, severity=ranges.light_severity * share, split=split
    )
    return physics, visuals._replace(
        lights=lights.apply(visuals.lights, change)._replace(shadow=None),
        materials=materials.draw(
            material_keys,
            visuals.materials,
            severity=ranges.material_severity * share,
            split=split,
        ),
    )
