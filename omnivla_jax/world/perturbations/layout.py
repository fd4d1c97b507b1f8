"""What stands on the workspace and where: added objects, and moved regions.

The thirteen categories that LIBERO-Plus adds have no public meshes. Here five bodies of
their sizes stand in for them, `DISTRACTORS`, whose colours are data; they collide and
can be pushed as other objects. Axes: B environments, M objects, F posed bodies.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.sim.resets.region_sampler import LayoutChange
from omnivla_jax.sim.state import Scene
from omnivla_jax.world.perturbations import kinds

MAX_DISTRACTORS = 5
# A body for each group of categories of one shape: the first is its shape, and all
# are its colours.
DISTRACTORS: dict[str, tuple[str, ...]] = {
    "bottle_of_barbecue_sauce__2": (
        *("bottle_of_barbecue_sauce__2", "bottle_of_baby_oil"),
        "bottle_of_alfredo_sauce",
    ),
    "bottle_of_aspirin": ("bottle_of_aspirin", "bottle_of_antihistamines"),
    "can_of_soda__1": ("can_of_soda__1", "can_of_sardines", "canned_food__1"),
    "box_of_shampoo__1": (
        *("box_of_shampoo__1", "box_of_vegetable_juice__1", "box_of_yogurt__1"),
        "boxed_ink_cartridge__3",
    ),
    "bag_of_yeast": ("bag_of_yeast",),
}
LEVELS = 5
# m, the largest shift of a region per level; other suites and files: as libero_spatial
LEVEL_STEPS = {"libero_object": 0.03, "libero_goal": 0.02}
LEVEL_STEP = 0.01


class Layout(NamedTuple):
    """How layouts differ, and which of its categories each distractor is."""

    change: LayoutChange
    category: jax.Array  # int32 [B, 5], of each entry of `DISTRACTORS`


def no_change(scene: Scene, batch: int) -> Layout:
    """The layouts of the tasks themselves in `batch` environments."""
    objects, fixtures = len(scene.assets.objects), len(scene.posed_bodies)
    change = LayoutChange(
        jnp.zeros((batch, objects, 2)),
        jnp.zeros((batch, fixtures, 2)),
        jnp.zeros((batch, objects), bool),
    )
    return Layout(change, jnp.zeros((batch, len(DISTRACTORS)), jnp.int32))


def draw(
    scene: Scene,
    keys: jax.Array,
    active: jax.Array,
    *,
    severity: float | jax.Array = 1.0,
    split: str = "all",
) -> Layout:
    """Draw distractors, five at most, and displacements within level 5's radius.

    Args:
      scene: the static tables; without extras it has no distractors.
      keys, severity, split: as of `perturbation.draw`; directions and categories are
        held out.
      active: bool [B, 2]: distractors, displacement.

    Returns:
      Leaves [B, ...].
    """
    chex.assert_shape(active, (len(keys), 2))
    names, posed = tuple(scene.assets.objects), scene.posed_bodies
    is_fixture = jnp.array([name in scene.assets.fixtures for name in posed])
    slots = np.array([names.index(name) for name in scene.extras], int)
    choices = [kinds.allowed(len(group), split) for group in DISTRACTORS.values()]
    radius = LEVELS * LEVEL_STEPS.get(scene.name, LEVEL_STEP)

    def one(key: jax.Array, active: jax.Array, severity: jax.Array) -> Layout:
        object_key, fixture_key, order_key, category_key = jax.random.split(key, 4)
        reach = radius * severity * active[1]
        count = jnp.ceil(MAX_DISTRACTORS * severity) * active[0]
        first = jax.random.permutation(order_key, len(slots)) < count
        category = [
            jnp.asarray(rows)[jax.random.randint(each, (), 0, len(rows))]
            for each, rows in zip(jax.random.split(category_key, len(choices)), choices)
        ]
        extras = jnp.zeros(len(names), bool).at[slots].set(first)
        change = LayoutChange(
            reach * _in_disc(object_key, len(names), split),
            reach * _in_disc(fixture_key, len(posed), split) * is_fixture[:, None],
            extras,
        )
        return Layout(change, jnp.stack(category).astype(jnp.int32))

    return jax.vmap(one)(keys, active, jnp.broadcast_to(severity, keys.shape))


def _in_disc(key: jax.Array, count: int, split: str) -> jax.Array:
    """Points [count, 2] of the unit disc, their directions of a split."""
    radius_key, angle_key = jax.random.split(key)
    radius = jnp.sqrt(jax.random.uniform(radius_key, (count, 1)))
    angle = 2 * np.pi * kinds.uniform(angle_key, split, (count,))
    return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
