"""How an episode differs from its task: seven dimensions as data of each environment.

    change = draw(scene, keys, one_hot(kind), severity)
    state = begin(scene, env.place(scene, task, keys, change.layout.change), change)
    seen = pictures(scene, visuals, state, size=64)

All is applied by values, so that one compiled program plays any kinds and severities.
What belongs to physics is applied when an episode begins (the layout, the arm, the
agent camera's pose), what belongs to observations in each of them. Episodes that are
copied from one start share its draw. Axes: B environments, K kinds.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.sim import env
from omnivla_jax.sim.state import EnvState, Scene
from omnivla_jax.world import observe
from omnivla_jax.world.perturbations import (
    camera,
    images,
    kinds,
    language,
    layout,
    lights,
    robot,
    surfaces,
)
from omnivla_jax.world.visual_scene import VisualScene


class Perturbation(NamedTuple):
    """One change of each dimension; all leaves have a leading axis B."""

    camera: camera.CameraShift
    robot: robot.RobotStart
    phrase: jax.Array  # int32 [B], see `language.table`
    lights: lights.LightChange
    surfaces: surfaces.SurfaceChange
    noise: images.ImageNoise
    layout: layout.Layout


def no_change(scene: Scene, batch: int) -> Perturbation:
    """The tasks themselves in `batch` environments."""
    return Perturbation(
        camera=camera.no_change(batch),
        robot=robot.no_change(batch),
        phrase=jnp.full(batch, language.OWN_WORDS, jnp.int32),
        lights=lights.no_change(batch),
        surfaces=surfaces.no_change(batch),
        noise=images.no_change(batch),
        layout=layout.no_change(scene, batch),
    )


def draw(
    scene: Scene,
    keys: jax.Array,
    active: jax.Array,
    severity: float | jax.Array = 1.0,
    *,
    split: str = "all",
) -> Perturbation:
    """Draw a perturbation of every environment, each from its key alone.

    The `draw` of every dimension takes its own columns of `active`, and the same keys,
    severity and split.

    Args:
      scene: the static tables.
      keys: typed keys [B]; consumed.
      active: bool [B, K], which of `kinds.KINDS` each environment has, such as
        `kinds.one_hot`; none is no change.
      severity: in [0, 1], one or [B]: the share of every range that is drawn from, or
        of the largest number; 0 is no change.
      split: of `kinds.SPLITS`: whether all values are drawn, those for training, or
        the third that is held out.

    Returns:
      Leaves [B, ...].
    """
    chex.assert_shape(active, (len(keys), len(kinds.KINDS)))
    parts = {name: active[:, kinds.columns(name)] for name in kinds.DIMENSIONS}
    split_keys = jax.vmap(lambda key: jax.random.split(key, len(parts)))(keys)
    key = dict(zip(parts, jnp.moveaxis(split_keys, 1, 0)))
    severity = jnp.broadcast_to(jnp.asarray(severity, jnp.float32), keys.shape)

    ranges: dict[str, Any] = {"severity": severity, "split": split}
    return Perturbation(
        camera=camera.draw(key["camera"], parts["camera"], **ranges),
        robot=robot.draw(key["robot"], parts["robot"], **ranges),
        phrase=language.draw(key["language"], parts["language"], **ranges),
        lights=lights.draw(key["light"], parts["light"], **ranges),
        surfaces=surfaces.draw(key["background"], parts["background"], **ranges),
        noise=images.draw(key["noise"], parts["noise"], severity=severity),
        layout=layout.draw(scene, key["layout"], parts["layout"], **ranges),
    )


def draw_in_turn(
    scene: Scene,
    keys: jax.Array,
    active: jax.Array,
    severity: jax.Array,
    *,
    split: str = "all",
) -> Perturbation:
    """Draw one after the other, so that no bit depends on how many are drawn.

    Args:
      scene, keys, active, split: as of `draw`.
      severity: float32 [B].

    Returns:
      Leaves [B, ...].
    """

    def one(row: tuple[jax.Array, ...]) -> Perturbation:
        key, active, severity = (value[None] for value in row)
        drawn = draw(scene, key, active, severity, split=split)
        return jax.tree.map(lambda leaf: leaf[0], drawn)

    return jax.lax.map(one, (keys, active, severity))


def begin(scene: Scene, state: EnvState, change: Perturbation) -> EnvState:
    """Settle fresh episodes under their perturbations.

    Args:
      scene: the static tables.
      state: B episodes of `env.place`, with the change's layout, or of `env.restore`.
      change: leaves [B, ...].

    Returns:
      B episodes at step 0, which carry the change.
    """
    settled = env.settle(scene, robot.start(scene, state, change.robot))
    return dataclasses.replace(
        settled,
        physics=camera.mount(scene, settled.physics, change.camera),
        perturbation=change,
    )


def pictures(
    scene: Scene,
    visuals: VisualScene,
    state: EnvState,
    *,
    size: int,
    shadows: bool = False,
    supersample: int = observe.POLICY_SUPERSAMPLE,
) -> jax.Array:
    """What the cameras see of B episodes, under their perturbations if they have some.

    Args:
      scene, visuals: of the scene, unperturbed.
      state: B episodes.
      size: image side S, pixels.
      shadows: in all pictures, not in those alone whose lights cast some.
      supersample: rays per pixel along each side.

    Returns:
      uint8 [B, V, S, S, 3].
    """
    options: dict[str, Any] = {
        **{"size": size, "shadows": shadows, "supersample": supersample}
    }
    change: Perturbation | None = state.perturbation
    if change is None:
        return observe.images(visuals, state.physics, **options)
    changed = perturbed_visuals(scene, visuals, change)
    clean = observe.images(changed, state.physics, **options)
    return observe.corrupt_images(clean, images.of_frame(change.noise, state.steps))


def perturbed_visuals(
    scene: Scene, visuals: VisualScene, change: Perturbation
) -> VisualScene:
    """The visuals with each environment's lights and surfaces.

    Args:
      scene: the static tables.
      visuals: of the scene.
      change: of B environments.

    Returns:
      The visuals; leaves of lights and materials are [B, ...].
    """
    category = change.layout.category
    return visuals._replace(
        lights=lights.apply(visuals.lights, change.lights),
        materials=surfaces.apply(scene, visuals.materials, change.surfaces, category),
    )
