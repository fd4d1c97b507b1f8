"""Every action head on the stand-in simulator: fine-tuning, then online RL.

python -m tests.helpers.head_comparison [head ...]

prints `success` after SFT, then the reward while exploring by objective, all from the
same demonstrations, steps, episodes and seed. A point is seen and moved in two
dimensions: it says whether a head learns, not which one is better on a robot.
"""

import dataclasses
import json
import sys
import time
from typing import Any

import numpy as np

from omnivla_jax.policy.config import PolicyConfig, preset
from omnivla_jax.policy.heads import ACTION_HEADS, action_head
from omnivla_jax.train import evaluate, online, rng, sft, sft_data
from omnivla_jax.train.online import objectives
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.state import OptimizerConfig, TrainState, eval_params
from tests.helpers import reaching

TASKS = (0, 1, 2)
SETTINGS = sft.SftConfig(
    OptimizerConfig(learning_rate=3e-3, warmup_steps=20, decay_steps=300),
    steps=300,
    batch_size=32,
    steps_per_call=100,
)
EVALUATION = evaluate.EvaluateConfig(
    episodes=192, batch_size=64, chunks=3, exec_horizon=3, steps=4, recorded=0
)
UPDATES = 10
OBJECTIVES = ("gspo", "grpo", "ppo", "rloo")


def fine_tune(config: PolicyConfig) -> TrainState:
    """The policy after SFT on 60 demonstrations."""
    episodes = reaching.demonstrations(count=60)
    normalizer = sft_data.fit_normalizer(episodes)
    params = sft.fresh_params(rng.named_key(0, "init"), config)
    params = sft_data.fit_codec(params, episodes, normalizer, config=config)
    state = sft.create(params, normalizer, SETTINGS, seed=0)
    dataset = sft_data.make_dataset(episodes, normalizer, config=config)
    step = sft.make_step(config, SETTINGS)
    for _ in range(SETTINGS.steps // SETTINGS.steps_per_call):
        state, _ = step(state, dataset)
    return state


def success(state: TrainState, config: PolicyConfig) -> float:
    """The share of 192 held-out episodes that reach their goal."""
    play = evaluate.make_evaluate(reaching.make(config), config, EVALUATION)
    starts = evaluate.eval_initial_states(0, TASKS, EVALUATION)
    outcome = evaluate.run(
        play, eval_params(state), state.normalizer, starts, config=EVALUATION
    )
    return round(float(np.mean(outcome.success)), 3)


def improve(state: TrainState, config: PolicyConfig, objective: str) -> dict[str, Any]:
    """Success of the exploring policy in the first and the last three updates."""
    sampler = action_head(config).make_sampler(
        {
            "scale": 1.0,
            "steps": 4,
            "schedule": "flow_grpo",
            "floor": 0.0,
            "drift": "corrected",
            "stochastic_steps": "all",
            "bound_draws": 4,
        },
        exec_horizon=3,
    )
    spec = objectives.OBJECTIVES[objective]
    lengths = objectives.ratio_normalizers(config, sampler)
    settings = OnlineConfig(
        optimizer=OptimizerConfig(learning_rate=3e-4),
        objective=objectives.make(
            objective, ratio_normalizer=lengths[spec.ratio_normalizer]
        ),
        updates=UPDATES,
        groups=12,
        group_size=8,
        chunks=3,
        epochs=2,
        minibatches=3,
        reward_weights={"success": 1.0, "alignment": 1.0},
    )
    key = rng.named_key(0, "online")
    state = online.create(state, settings, config, num_tasks=len(TASKS))
    step = online.make_step(
        reaching.make(config),
        TASKS,
        policy_config=config,
        sampler=sampler,
        config=settings,
    )
    history = []
    for _ in range(UPDATES):
        state, metrics = step(state, key)
        history.append(float(metrics["reward"]))
    return {
        "first": round(np.mean(history[:3]), 3),
        "last": round(np.mean(history[-3:]), 3),
    }


def main(names: list[str]) -> None:
    variants: dict[str, dict[str, Any]] = {
        name: {"head": name} for name in ACTION_HEADS
    }
    variants["insulated"] = {"head": "flow", "insulation": "bins"}
    trained = {}
    for name in names or variants:
        config = dataclasses.replace(
            preset("debug"), action_bins=64, fast_vocab=256, **variants[name]
        )
        start = time.process_time()
        trained[name] = config, fine_tune(config)
        row: dict[str, Any] = {"head": name, "success": success(*trained[name][::-1])}
        row["cpu_s"] = round(time.process_time() - start, 1)
        print(json.dumps(row), flush=True)
    for objective in OBJECTIVES:
        for name, (config, state) in trained.items():
            rewards = improve(state, config, objective)
            print(json.dumps({"head": name, objective: rewards}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
