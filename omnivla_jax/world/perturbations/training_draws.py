"""Draws perturbations to train on, harder ones as episodes succeed.

Axes: B environments, K kinds.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from omnivla_jax.sim.state import Scene
from omnivla_jax.world.perturbations import kinds, perturbation
from omnivla_jax.world.perturbations.perturbation import Perturbation


@dataclass(frozen=True)
class PerturbConfig:
    """What episodes of training are perturbed by."""

    kinds: tuple[str, ...]  # names of `kinds.rows`
    share: float = 0.75  # of the episodes that are perturbed at all
    severity: float = 1.0  # the largest; each episode's is uniform below the limit
    start: float = 1.0  # the limit's share of it at first; 1: no curriculum
    rate: float = 0.02  # by which the limit rises or falls with an update
    target: float = 0.7  # the success above which it rises
    split: str = "training"  # of `kinds.SPLITS`

    def __post_init__(self) -> None:
        kinds.rows(self.kinds)
        kinds.allowed(1, self.split)
        for name in ("share", "severity", "start", "rate", "target"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"perturb.{name}={value}: give a share from 0 to 1.")


def defaults() -> dict[str, Any]:
    """The settings of `PerturbConfig` that have a default."""
    fields = dataclasses.fields(PerturbConfig)
    return {f.name: f.default for f in fields if f.name != "kinds"}


def draw(
    scene: Scene, keys: jax.Array, limit: jax.Array, *, config: PerturbConfig
) -> Perturbation:
    """Draw one kind, or none, and a severity below the limit for every episode.

    Dimensions are equally frequent, and so are a dimension's kinds.

    Args:
      scene: the static tables.
      keys: typed keys [B]; consumed.
      limit: float32 [B] in [0, 1], of the largest severity.
      config: what is drawn.

    Returns:
      Leaves [B, ...].
    """
    names = [kinds.KINDS[row].split(".")[0] for row in kinds.rows(config.kinds)]
    weight = jnp.array([1.0 / names.count(name) for name in names])
    rows = jnp.array(kinds.rows(config.kinds))

    def choose(key: jax.Array, limit: jax.Array) -> tuple[jax.Array, ...]:
        kind_key, share_key, severity_key, change_key = jax.random.split(key, 4)
        kind = jax.random.choice(kind_key, rows, p=weight / weight.sum())
        plain = ~jax.random.bernoulli(share_key, config.share)
        severity = config.severity * limit * jax.random.uniform(severity_key)
        return jnp.where(plain, kinds.NO_KIND, kind), severity, change_key

    kind, severity, change_keys = jax.vmap(choose)(keys, limit)
    return perturbation.draw(
        scene, change_keys, kinds.one_hot(kind), severity, split=config.split
    )


def advance(
    limit: jax.Array, success: jax.Array, *, config: PerturbConfig
) -> jax.Array:
    """The limit of the next update: higher after success, lower after failure.

    Args:
      limit: float32 [], of this update.
      success: float32 [], share of its episodes.
      config: rate and target.

    Returns:
      float32 [] in [0, 1].
    """
    step = jnp.where(success > config.target, config.rate, -config.rate)
    return jnp.clip(limit + step, min(config.start, config.rate), 1.0)
