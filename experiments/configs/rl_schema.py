"""From the config's `rl` part to stage III's record: the objective by its name."""

import dataclasses
from typing import Any, Callable, Mapping

from ml_collections.config_dict import placeholder

from omnivla_jax.policy.config import PolicyConfig, choose
from omnivla_jax.policy.policy import Sampler
from omnivla_jax.rl import grpo, gspo, kl, ppo
from omnivla_jax.train.online import objectives
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.objectives import Objective
from omnivla_jax.train.state import OptimizerConfig

# Settings of the objective; the rest of `rl` is stage III's own.
OF_THE_OBJECTIVE: Mapping[str, Any] = {
    "objective": "gspo",
    # |A|, what a log-ratio is divided by, see `objectives.lengths`; and how far below
    # and above 1 a ratio counts, such as (0.2, 0.2). None: the objective's own.
    "length": None,
    "clip": None,
    "kl": 0.01,
    "kl_kind": "exact",
    "critic": {"gamma": 0.99, "gae_lambda": 0.95, "value_clip": 0.2},  # PPO's
}


def defaults() -> dict[str, Any]:
    """Every setting of `rl` that a config may leave as it is."""
    own = {
        field.name: field.default
        for field in dataclasses.fields(OnlineConfig)
        if field.default is not dataclasses.MISSING
    }
    # Placeholders are shared by all who hold them: every config gets its own.
    unset = {"length": placeholder(str), "clip": placeholder(tuple)}
    return {**own, **OF_THE_OBJECTIVE, **unset}


def online_config(
    raw: Mapping[str, Any], chunks: int, policy: PolicyConfig, sampler: Sampler
) -> OnlineConfig:
    """Check and convert; errors are ValueErrors that name what to change."""
    choose("rl.objective", raw["objective"], OBJECTIVES)
    rest = {name: raw[name] for name in raw if name not in OF_THE_OBJECTIVE}
    steps = max(raw["updates"], 1) * raw["epochs"] * raw["minibatches"]
    rest["optimizer"] = OptimizerConfig(decay_steps=steps, **raw["optimizer"])
    rest["keep_between"] = tuple(raw["keep_between"])
    objective = OBJECTIVES[raw["objective"]](raw, _shared(raw, policy, sampler))
    return OnlineConfig(objective=objective, chunks=chunks, **rest)


def _gspo(raw: Mapping[str, Any], shared: Mapping[str, Any]) -> Objective:
    del raw
    return objectives.flow_gspo(gspo.GspoConfig(**shared))


def _grpo(raw: Mapping[str, Any], shared: Mapping[str, Any]) -> Objective:
    del raw
    return objectives.flow_grpo(grpo.GrpoConfig(**shared))


def _ppo(raw: Mapping[str, Any], shared: Mapping[str, Any]) -> Objective:
    return objectives.flow_ppo(ppo.PpoConfig(**shared, **raw["critic"]))


OBJECTIVES: Mapping[
    str, Callable[[Mapping[str, Any], Mapping[str, Any]], Objective]
] = {"gspo": _gspo, "grpo": _grpo, "ppo": _ppo}
LENGTHS = {"gspo": "HK", "grpo": "1", "ppo": "1"}  # as published


def _shared(
    raw: Mapping[str, Any], policy: PolicyConfig, sampler: Sampler
) -> dict[str, Any]:
    """What the three objectives' records have in common."""
    lengths = objectives.lengths(policy, sampler)
    clip = dict(zip(("clip_low", "clip_high"), raw["clip"] or ()))
    length = raw["length"] or LENGTHS[raw["objective"]]
    return {
        "length": choose("rl.length", length, lengths),
        **clip,
        "kl_coefficient": raw["kl"],
        "kl_kind": choose("rl.kl_kind", raw["kl_kind"], kl.KINDS),
    }
