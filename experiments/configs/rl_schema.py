"""Converts the config's `rl` part: settings of online training and its objective."""

import dataclasses
import typing
from typing import Any, Mapping

from ml_collections.config_dict import FieldReference, placeholder

from omnivla_jax.policy.config import PolicyConfig, choose
from omnivla_jax.policy.heads.base import Sampler
from omnivla_jax.sim.goals import reward
from omnivla_jax.train.online import objectives
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.state import OptimizerConfig


def defaults() -> dict[str, Any]:
    """Defaults of `rl`, from the dataclass of online training.

    Settings of objectives are None, which stands for the default in the dataclass of
    the chosen objective.
    """
    annotations = typing.get_type_hints(OnlineConfig)
    online = {
        field.name: (
            _placeholder(annotations[field.name])
            if field.default is None
            else field.default
        )
        for field in dataclasses.fields(OnlineConfig)
        if field.default is not dataclasses.MISSING
        and field.name != "perturb"  # a part of its own, for several stages
    }
    return {"objective": "gspo", **online, **_objective_settings()}


def online_config(
    raw: Mapping[str, Any], chunks: int, policy: PolicyConfig, sampler: Sampler
) -> OnlineConfig:
    """Check and convert the config's `rl` part.

    Args:
      raw: its settings.
      chunks: of an episode.
      policy: config of the policy.
      sampler: of the action head.

    Raises:
      ValueError: a setting is wrong, or the objective does not have it.
    """
    spec = choose("rl.objective", raw["objective"], objectives.OBJECTIVES)
    names = _objective_settings()
    settings = {name: raw[name] for name in names if raw[name] is not None}
    settings["ratio_normalizer"] = choose(
        "rl.ratio_normalizer",
        settings.get("ratio_normalizer", spec.ratio_normalizer),
        objectives.ratio_normalizers(policy, sampler),
    )
    steps = max(raw["updates"], 1) * raw["epochs"] * raw["minibatches"]
    changes = {
        "objective": objectives.make(raw["objective"], **settings),
        "optimizer": OptimizerConfig(decay_steps=steps, **raw["optimizer"]),
        "success_rate_filter": tuple(raw["success_rate_filter"]),
        "tree": tuple(raw["tree"]),
    }
    reward.check(raw["reward_weights"])
    online = {name: raw[name] for name in raw if name not in names}
    return OnlineConfig(chunks=chunks, **{**online, **changes})


def _objective_settings() -> dict[str, Any]:
    """A placeholder for every setting that any objective has.

    `ratio_normalizer` is one of `objectives.ratio_normalizers`, by name. Configs that
    share a placeholder share its value, so every call makes new ones.
    """
    settings: dict[str, Any] = {}
    for spec in objectives.OBJECTIVES.values():
        for name, annotation in typing.get_type_hints(spec.config).items():
            settings[name] = _placeholder(annotation)
    return settings | {"ratio_normalizer": placeholder(str)}


def _placeholder(annotation: Any) -> FieldReference:
    """A setting that is None, and takes values of the annotated type."""
    kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    return placeholder(kinds[0] if kinds else annotation)
