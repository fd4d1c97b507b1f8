"""LIBERO's goal predicates, exactly as its code evaluates them, for a batch.

Source: `libero/envs/predicates` and `object_states/base_object_states.py`.
Positions are body origins. Axes: B environments, T tasks of the suite.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.sim import rotation
from omnivla_jax.sim.scene import Scene, Site
from omnivla_jax.sim.state import Physics
from omnivla_jax.sim.tasks import Goal, Task

CENTERED_WITHIN = 0.03  # m, On(object, object)
SITE_BELOW, SITE_ABOVE = 0.005, 0.10  # m, On(object, site)
IN_BELOW = 0.01  # m, In(object, site)
# Joint thresholds per fixture (m or rad): LIBERO's `articulated_objects.py`.
_OPEN_BELOW = {"wooden_cabinet": -0.14}
_CLOSED_ABOVE = {"wooden_cabinet": 0.0}
_ON_FROM = {"flat_stove": 0.5}


def success(scene: Scene, physics: Physics, task: jax.Array) -> jax.Array:
    """bool [B]: whether each environment's own task is done.

    Args:
      scene: the static tables.
      physics: the batch's state.
      task: int32 [B], rows of the suite's table.
    """
    every = jnp.stack([holds(scene, physics, row) for row in scene.tasks], axis=-1)
    return jnp.take_along_axis(every, task[:, None], axis=-1)[:, 0]


def holds(scene: Scene, physics: Physics, task: Task) -> jax.Array:
    """bool [B]: whether all goals of `task` hold."""
    verdicts = [_PREDICATES[goal.predicate](scene, physics, goal) for goal in task.goal]
    return jnp.all(jnp.stack(verdicts), axis=0)


def on(scene: Scene, physics: Physics, goal: Goal) -> jax.Array:
    """On(object, object) or On(object, region)."""
    if goal.target in scene.sites:
        return _on_site(scene, physics, goal, scene.sites[goal.target])
    above = physics.xpos[:, scene.bodies[goal.subject]]
    below = physics.xpos[:, scene.bodies[goal.target]]
    offset = jnp.linalg.norm(above[:, :2] - below[:, :2], axis=-1)
    touches = _touches(scene, physics, goal.subject, goal.target)
    return (below[:, 2] <= above[:, 2]) & touches & (offset < CENTERED_WITHIN)


def inside(scene: Scene, physics: Physics, goal: Goal) -> jax.Array:
    """In(object, region): the origin lies in the region's axis-aligned extent."""
    site = scene.sites[goal.target]
    center, orientation = _site_pose(physics, site)
    half = jnp.asarray(site.region.half_size)
    extent = jnp.abs(jnp.einsum("bij,j->bi", orientation, half))
    position = physics.xpos[:, scene.bodies[goal.subject]]
    lower = center - extent - jnp.array([0.0, 0.0, IN_BELOW])
    return jnp.all((lower < position) & (position < center + extent), axis=-1)


def is_open(scene: Scene, physics: Physics, goal: Goal) -> jax.Array:
    """Open(part)."""
    return _joint(scene, physics, goal) < _OPEN_BELOW[_fixture(goal)]


def is_closed(scene: Scene, physics: Physics, goal: Goal) -> jax.Array:
    """Close(part)."""
    return _joint(scene, physics, goal) > _CLOSED_ABOVE[_fixture(goal)]


def turned_on(scene: Scene, physics: Physics, goal: Goal) -> jax.Array:
    """Turnon(knob)."""
    return _joint(scene, physics, goal) >= _ON_FROM[_fixture(goal)]


_PREDICATES = {
    "On": on,
    "In": inside,
    "Open": is_open,
    "Close": is_closed,
    "Turnon": turned_on,
}


def _on_site(scene: Scene, physics: Physics, goal: Goal, site: Site) -> jax.Array:
    center, orientation = _site_pose(physics, site)
    position = physics.xpos[:, scene.bodies[goal.subject]]
    # LIBERO multiplies by R where the site frame would take R^T; kept.
    offset = jnp.einsum("bij,bj->bi", orientation, position - center)
    half_x, half_y, half_z = site.region.half_size
    over = (offset[:, 2] > half_z - SITE_BELOW) & (offset[:, 2] < half_z + SITE_ABOVE)
    within = (jnp.abs(offset[:, 0]) < half_x) & (jnp.abs(offset[:, 1]) < half_y)
    if not site.fixture:
        return over & within
    return over & within & _touches(scene, physics, goal.subject, site.fixture)


def _site_pose(physics: Physics, site: Site) -> tuple[jax.Array, jax.Array]:
    position, quaternion = physics.xpos[:, site.body], physics.xquat[:, site.body]
    local = jnp.broadcast_to(jnp.asarray(site.region.position), position.shape)
    turn = jnp.broadcast_to(jnp.asarray(site.region.quaternion), quaternion.shape)
    turned = rotation.multiply(quaternion, turn, jnp)
    turned = turned / jnp.linalg.norm(turned, axis=-1, keepdims=True)
    center = position + rotation.rotate(quaternion, local, jnp)
    return center, rotation.matrix(turned, jnp)


def _touches(scene: Scene, physics: Physics, first: str, second: str) -> jax.Array:
    return physics.touching[:, scene.contact_pairs.index((first, second))]


def _joint(scene: Scene, physics: Physics, goal: Goal) -> jax.Array:
    return physics.qpos[:, scene.joints[goal.subject][0]]


def _fixture(goal: Goal) -> str:
    return goal.subject.split("/")[0]
