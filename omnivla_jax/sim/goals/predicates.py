"""LIBERO's goal predicates, exactly as its code evaluates them, for a batch.

Source: `libero/envs/predicates` and `object_states/base_object_states.py`.
Positions are body origins.
Axes: B environments, T tasks of the suite, G goals of a task.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.sim import rotation
from omnivla_jax.sim.assets.category import Articulation
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.goals import task_ids
from omnivla_jax.sim.libero.tasks import Goal
from omnivla_jax.sim.state import PhysicsState, Scene, Site, goal_joints

CENTERED_WITHIN = 0.03  # m, On(object, object)
SITE_BELOW, SITE_ABOVE = 0.005, 0.10  # m, On(object, site)
IN_BELOW = 0.01  # m, In(object, site)
UP_FROM = 1.0  # m, Up(object)


def success(scene: Scene, physics: PhysicsState, task: jax.Array) -> jax.Array:
    """bool [B]: whether each environment's own task is done.

    Args:
      scene: the static tables.
      physics: the batch's state.
      task: int32 [B], rows of the suite's table.
    """
    return jnp.all(goals_satisfied(scene, physics, task), axis=-1)


def goals_satisfied(scene: Scene, physics: PhysicsState, task: jax.Array) -> jax.Array:
    """bool [B, G]: which goals of its own task hold in each environment.

    G is the largest number of goals of a task; those that a task lacks hold. Tasks
    that the scene does not hold, and numbers of no task, are never done.

    Args:
      scene: the static tables.
      physics: the batch's state.
      task: int32 [B], rows of the suite's table.
    """
    most = max(len(row.goal) for row in scene.tasks)
    columns = []
    for row, wanted in enumerate(scene.tasks):
        satisfied = [jnp.zeros_like(task, bool)] * most
        if row in scene.task_ids:
            satisfied = [
                _PREDICATES[g.predicate](scene, physics, g) for g in wanted.goal
            ]
            satisfied += [jnp.ones_like(task, bool)] * (most - len(satisfied))
        columns.append(jnp.stack(satisfied, axis=-1))
    every = jnp.stack(columns, axis=1)  # [B, T, G]
    rows = task_ids.rows(scene, task)[:, None, None]
    held = jnp.take_along_axis(every, rows, axis=1)[:, 0]
    return held & task_ids.is_held(scene, task)[:, None]


def on(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """On(object, object) or On(object, region), bool [B].

    A region of the workspace (`goal.zone`) needs no contact; a region of an instance
    needs one with the instance.
    """
    above = physics.xpos[:, scene.bodies[goal.subject]]
    if goal.zone is not None:
        offset = above - jnp.asarray(goal.zone.center)
        return _above(offset, jnp.asarray(goal.zone.half_size))
    site = scene.sites.get(goal.target)
    if site is not None:
        center, orientation = site_pose(physics, site)
        # LIBERO multiplies by R where the site frame would take R^T; kept.
        offset = jnp.einsum("bij,bj->bi", orientation, above - center)
        pair = scene.contact_pairs.index((goal.subject, site.instance))
        within = _above(offset, jnp.asarray(site.region.half_size))
        return within & physics.touching[:, pair]
    below = physics.xpos[:, scene.bodies[goal.target]]
    distance = jnp.linalg.norm(above[:, :2] - below[:, :2], axis=-1)
    pair = scene.contact_pairs.index((goal.subject, goal.target))
    touches = physics.touching[:, pair]
    return (below[:, 2] <= above[:, 2]) & touches & (distance < CENTERED_WITHIN)


def inside(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """In(object, region): the origin lies in the region's axis-aligned extent."""
    site = scene.sites[goal.target]
    center, orientation = site_pose(physics, site)
    half = jnp.asarray(site.region.half_size)
    extent = jnp.abs(jnp.einsum("bij,j->bi", orientation, half))
    position = physics.xpos[:, scene.bodies[goal.subject]]
    lower = center - extent - jnp.array([0.0, 0.0, IN_BELOW])
    return jnp.all((lower < position) & (position < center + extent), axis=-1)


def is_open(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """Open(fixture or region): any of its joints is open."""
    _, high = _ends(scene, goal)
    return jnp.any(joint_positions(scene, physics, goal) < high, axis=-1)


def is_closed(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """Close(fixture or region): all of its joints are closed."""
    low, _ = _ends(scene, goal)
    return jnp.all(joint_positions(scene, physics, goal) > low, axis=-1)


def turned_on(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """Turnon(fixture): any of its joints is on."""
    low, _ = _ends(scene, goal)
    return jnp.any(joint_positions(scene, physics, goal) >= low, axis=-1)


def turned_off(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """Turnoff(fixture): all of its joints are off."""
    _, high = _ends(scene, goal)
    return jnp.all(joint_positions(scene, physics, goal) < high, axis=-1)


def is_up(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """Up(object): its origin is at least a metre high."""
    return physics.xpos[:, scene.bodies[goal.subject], 2] >= UP_FROM


_PREDICATES = {
    "on": on,
    "in": inside,
    "open": is_open,
    "close": is_closed,
    "turnon": turned_on,
    "turnoff": turned_off,
    "up": is_up,
}


def _above(offset: jax.Array, half: jax.Array) -> jax.Array:
    """bool [B]: whether `offset` [B, 3] from a region's centre counts as on it."""
    height = offset[:, 2] - half[2]
    within = jnp.all(jnp.abs(offset[:, :2]) < half[:2], axis=-1)
    return within & (height > -SITE_BELOW) & (height < SITE_ABOVE)


def site_pose(physics: PhysicsState, site: Site) -> tuple[jax.Array, jax.Array]:
    """A region's centre [B, 3] and axes [B, 3, 3] in the world."""
    position, quaternion = physics.xpos[:, site.body], physics.xquat[:, site.body]
    local = jnp.broadcast_to(jnp.asarray(site.region.position), position.shape)
    turn = jnp.broadcast_to(jnp.asarray(site.region.quaternion), quaternion.shape)
    turned = rotation.multiply(quaternion, turn, jnp)
    turned = turned / jnp.linalg.norm(turned, axis=-1, keepdims=True)
    center = position + rotation.rotate(quaternion, local, jnp)
    return center, rotation.matrix(turned, jnp)


def joint_positions(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """[B, n]: the positions of the joints that a goal asks about."""
    rows = [scene.joints[name][0] for name in goal_joints(scene, goal)]
    return physics.qpos[:, jnp.array(rows)]


def articulation(scene: Scene, goal: Goal) -> Articulation:
    """LIBERO's ranges of the joints that a goal asks about."""
    site = scene.sites.get(goal.subject)
    fixture = scene.assets.fixtures[site.instance if site else goal.subject]
    ranges = CATEGORIES[fixture].articulation
    assert ranges is not None, f"{goal.subject} has no articulation"
    return ranges


def _ends(scene: Scene, goal: Goal) -> tuple[float, float]:
    """The range of a joint that the goal's word means."""
    low_high = getattr(articulation(scene, goal), goal.predicate)
    assert low_high is not None, f"{goal.subject} knows no {goal.predicate!r}"
    return low_high
