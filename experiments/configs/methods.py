"""Online methods at equal steps and equal tuning: the protocol of docs/ablation.md.

Command: `python -m experiments.ablation --workdir=runs/methods
--config=experiments/configs/methods.py`. Not yet measured: some 78 runs of ten minutes
to a quarter of an hour on two cores. Every method has four configurations, which are
tried under two seeds; the best one plays under five others.

`get_config("debug")` is the same on toy sizes, for tests: its numbers mean nothing.
"""

import copy
from typing import Any

from ml_collections import ConfigDict

from experiments.configs import ablation

# Groups whose episodes nearly all succeed or fail say nothing about single actions.
MIXED_GROUPS = {"success_rate_filter": (0.1, 0.9)}
# Where all succeed, no advantage holds the policy to what it can do: imitation does.
ANCHORED = {**MIXED_GROUPS, "self_imitation": 0.5}
# Draws of the bound instead of a stochastic sampler.
BOUND = {"stochastic_steps": "none"}


def rl(rate: float, **settings: Any) -> dict[str, Any]:
    """Changes of online training: its learning rate and other settings."""
    return {"rl": {"optimizer": {"learning_rate": rate}, **settings}}


def clip(width: float) -> dict[str, float]:
    """A symmetric clip."""
    return {"clip_low": width, "clip_high": width}


CRITIC = {name: value for name, value in ablation.CRITIC.items() if name != "optimizer"}
METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "SFT": {"only": {"rl": {"updates": 0}}},
    "PPO": {
        "slow": rl(3e-5, **CRITIC),
        "fast": rl(1e-4, **CRITIC),
        "slow, narrow clip": rl(3e-5, **CRITIC, **clip(0.05)),
        "fast, narrow clip": rl(1e-4, **CRITIC, **clip(0.05)),
    },
    "GRPO": {
        "slow": rl(1e-4, objective="grpo"),
        "fast": rl(2e-4, objective="grpo"),
        "slow, narrow clip": rl(1e-4, objective="grpo", **clip(0.05)),
        "fast, narrow clip": rl(2e-4, objective="grpo", **clip(0.05)),
    },
    "Flow-GSPO, all groups": {
        "slow": rl(1e-4),
        "fast": rl(2e-4),
        "slow, narrow clip": rl(1e-4, **clip(0.01)),
        "fast, narrow clip": rl(2e-4, **clip(0.01)),
    },
    "Flow-GSPO, mixed groups": {
        "slow": rl(1e-4, **MIXED_GROUPS),
        "slow, anchored": rl(1e-4, **ANCHORED),
        "slow, anchored, uncertain tasks": rl(1e-4, **ANCHORED, task_memory=0.7),
        "fast, anchored, uncertain tasks": rl(2e-4, **ANCHORED, task_memory=0.7),
    },
    "NFT": {
        "slow": rl(1e-4, objective="nft", **MIXED_GROUPS) | {"sampler": BOUND},
        "fast": rl(2e-4, objective="nft", **MIXED_GROUPS) | {"sampler": BOUND},
        "slow, near": rl(1e-4, objective="nft", nft_beta=2.0) | {"sampler": BOUND},
        "fast, near": rl(2e-4, objective="nft", nft_beta=2.0) | {"sampler": BOUND},
    },
    "FPO": {
        "slow": rl(1e-4, **MIXED_GROUPS) | {"sampler": BOUND},
        "fast": rl(2e-4, **MIXED_GROUPS) | {"sampler": BOUND},
        "slow, narrow clip": rl(1e-4, **clip(0.01)) | {"sampler": BOUND},
        "fast, narrow clip": rl(2e-4, **clip(0.01)) | {"sampler": BOUND},
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """The configuration; `variant` is "" or "debug"."""
    config = ablation.get_config(variant)
    methods = copy.deepcopy(METHODS)
    config.seeds, config.tuning_seeds = (0, 1, 2, 3, 4), (100, 101)
    if variant == "debug":
        methods = {
            "SFT": methods["SFT"],
            "NFT": {name: methods["NFT"][name] for name in ("slow", "fast")},
        }
        config.seeds, config.tuning_seeds = (0,), (100,)
    config.variants = ConfigDict(
        {
            f"{method}: {name}": changes
            for method, configurations in methods.items()
            for name, changes in configurations.items()
        }
    )
    config.method_names = tuple(methods)  # in this order
    config.methods = ConfigDict(
        {
            method: tuple(f"{method}: {name}" for name in configurations)
            for method, configurations in methods.items()
        }
    )
    config.variant_names = tuple(
        name for method in methods for name in config.methods[method]
    )
    return config
