"""How near goals are to holding: the dense reward `progress`; ours, not LIBERO's.

Axes: B environments, T tasks of the suite, G goals of a task.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.goals import predicates, task_ids
from omnivla_jax.sim.libero.tasks import Goal
from omnivla_jax.sim.state import PhysicsState, Scene

DISTANCE_SCALE = 0.2  # m: where a goal about a place counts 1 - tanh(1) = 0.24


def goal_progress(scene: Scene, physics: PhysicsState, task: jax.Array) -> jax.Array:
    """How much of each environment's task is done.

    The mean over the task's goals: 1 where a goal holds, its proximity where not. So
    the share of the goals that hold is a lower bound, and 1 means success. Tasks that
    the scene does not hold, and numbers of no task, count 0.

    Args:
      scene: the static tables.
      physics: the batch's state.
      task: int32 [B], rows of the suite's table.

    Returns:
      float32 [B] in [0, 1].
    """
    goals = [
        row.goal if index in scene.task_ids else ()
        for index, row in enumerate(scene.tasks)
    ]
    counts, rows = np.array([len(row) for row in goals]), task_ids.rows(scene, task)
    held = predicates.goals_satisfied(scene, physics, task)  # [B, G]
    columns = []
    for row in goals:
        proximities = [goal_proximity(scene, physics, goal) for goal in row]
        proximities += [jnp.zeros(physics.qpos.shape[0])] * (held.shape[1] - len(row))
        columns.append(jnp.stack(proximities, axis=-1))
    near = jnp.stack(columns, axis=1)  # [B, T, G]
    near = jnp.take_along_axis(near, rows[:, None, None], axis=1)[:, 0]  # [B, G]
    exists = jnp.arange(held.shape[1]) < jnp.asarray(counts)[rows, None]
    values = jnp.where(held, 1.0, near) * exists
    done = jnp.sum(values, axis=-1) / jnp.maximum(jnp.asarray(counts)[rows], 1)
    return jnp.where(task_ids.is_held(scene, task), done, 0.0)


def goal_proximity(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """How near one goal is to holding, not whether it does.

    On, In and Up: 1 - tanh(d / 0.2 m) of the distance d from the object's origin to
    the target's, to the region's centre, or up to the height. Open, Close, Turnon and
    Turnoff: the part that is done of the joint's way between the opposite words.

    Args:
      scene: the static tables.
      physics: the batch's state.
      goal: one of a task that the scene holds.

    Returns:
      float32 [B] in [0, 1].
    """
    if goal.predicate in _OPPOSITES:
        return _turned(scene, physics, goal)
    return 1.0 - jnp.tanh(_distance(scene, physics, goal) / DISTANCE_SCALE)


_OPPOSITES = {
    "open": "close",
    "close": "open",
    "turnon": "turnoff",
    "turnoff": "turnon",
}


def _turned(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    words = predicates.articulation(scene, goal)._asdict()
    opposite = _OPPOSITES[goal.predicate]
    _, nearer_end, combine = predicates.JOINT_PREDICATES[goal.predicate]
    there = words[goal.predicate][nearer_end]
    back = words[opposite][predicates.JOINT_PREDICATES[opposite][1]]
    joints = predicates.joint_positions(scene, physics, goal)
    done = jnp.clip((joints - back) / (there - back), 0.0, 1.0)
    return (jnp.max if combine is jnp.any else jnp.min)(done, axis=-1)


def _distance(scene: Scene, physics: PhysicsState, goal: Goal) -> jax.Array:
    """float32 [B]: metres between where an object is and where it belongs."""
    position = physics.xpos[:, scene.bodies[goal.subject]]
    if goal.predicate == "up":
        return jnp.maximum(predicates.UP_FROM - position[:, 2], 0.0)
    if goal.zone is not None:
        target = jnp.asarray(goal.zone.center)
    elif goal.target in scene.sites:
        target, _ = predicates.site_pose(physics, scene.sites[goal.target])
    else:
        target = physics.xpos[:, scene.bodies[goal.target]]
    return jnp.linalg.norm(position - target, axis=-1)
