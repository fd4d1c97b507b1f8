"""Notebook: flow matching, then Flow-GSPO on one task; see `convert.py`."""

# %% [markdown]
# # From demonstrations to online RL
#
# A flow policy is trained on a scripted expert (flow matching), then improved by its
# own episodes (Flow-GSPO, [arXiv 2604.17706](https://arxiv.org/abs/2604.17706)). One
# online update, from the reset of the simulator to the optimizer, is one compiled
# function. Half an hour on two CPU cores, most of it compiling and physics.

# %%
import dataclasses
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import clear_output, display

from omnivla_jax.core import compile as compilation
from omnivla_jax.flow.schedules import Schedule, flow_grpo
from omnivla_jax.policy.config import preset
from omnivla_jax.policy.heads.flow_sampler import FlowSampler
from omnivla_jax.sim import scene
from omnivla_jax.train import environment, evaluate, online, sft, sft_data
from omnivla_jax.train.online import config as online_config
from omnivla_jax.train.online import objectives
from omnivla_jax.train.state import OptimizerConfig, eval_params
from omnivla_jax.world import demos, visual_scene

SMALL = bool(os.environ.get("NOTEBOOK_SMALL"))  # set by the tests
TASK = 7  # turn on the stove
compilation.enable_cache()
print(f"jax {jax.__version__} on {jax.devices()}")

# %% [markdown]
# ## Demonstrations

# %%
config = preset("tiny")
if SMALL:
    config = dataclasses.replace(preset("debug").without_spatial(), max_tokens=16)
size = config.vision.image_size
goal = scene.make("libero_goal", tasks=(TASK,))
visuals = visual_scene.make(goal)
record = demos.make_recorder(goal, visuals, steps=96, size=size, action_noise=0.05)
tasks = jnp.full(3 if SMALL else 24, TASK)
trajectory = record(tasks, jax.random.key(0))
episodes = list(demos.successful_episodes(goal, tasks, trajectory))
print(f"{len(episodes)} episodes: {episodes[0].instruction}")

# %% [markdown]
# ## Flow matching

# %%
normalizer = sft_data.fit_normalizer(episodes)
dataset = sft_data.make_dataset(episodes, normalizer, config=config)
sft_config = sft.SftConfig(
    OptimizerConfig(learning_rate=1e-3),
    steps=2 if SMALL else 120,
    batch_size=4 if SMALL else 64,
    steps_per_call=1 if SMALL else 10,
)
params = sft.fresh_params(jax.random.key(0), config)
state = sft.create(params, normalizer, sft_config, seed=0)
sft_step = sft.make_step(config, sft_config)
for _ in range(sft_config.steps // sft_config.steps_per_call):
    state, metrics = sft_step(state, dataset)
    print(f"step {int(state.step)}: loss {float(metrics['loss']):.3f}")

# %% [markdown]
# ## Success on states that training never sees

# %%
simulator = environment.simulator(goal, config, size=size)
horizon, chunks = (2, 2) if SMALL else (8, 12)
settings = evaluate.EvaluateConfig(
    episodes=2 if SMALL else 48,
    batch_size=24,
    chunks=chunks,
    exec_horizon=horizon,
    steps=4,
    recorded=0,
    block_size=2 if SMALL else None,
)
program = evaluate.compiled(simulator, config, settings)
starts = evaluate.eval_initial_states(0, (TASK,), settings)


def success(state):
    """Share of the episodes that reach the goal, with its 95 % interval."""
    policy = eval_params(state), state.normalizer
    reached = evaluate.run(program, *policy, starts, config=settings).success
    low, high = evaluate.wilson_interval(int(reached.sum()), len(reached))
    return f"{reached.mean():.0%} ({low:.0%} to {high:.0%})"


before = success(state)
print("after flow matching:", before)

# %% [markdown]
# ## Flow-GSPO
#
# Groups of episodes start in the same state, and an episode is compared with its group.
# The policy explores by turning the flow's ODE into an SDE, which gives every chunk of
# actions a likelihood.

# %%
sampler = FlowSampler(4, Schedule(flow_grpo, scale=0.8), exec_horizon=horizon)
rl = online_config.OnlineConfig(
    OptimizerConfig(learning_rate=1e-4),
    objectives.make("gspo", ratio_normalizer=4 * horizon),
    {"success": 1.0, "alignment": 0.1},
    updates=2 if SMALL else 24,
    groups=2 if SMALL else 12,
    group_size=2 if SMALL else 8,
    chunks=chunks,
    minibatches=1 if SMALL else 4,
)
online_step = online.make_step(
    simulator, (TASK,), policy_config=config, sampler=sampler, config=rl
)
state = online.create(state, rl, config)
curve = []
for update in range(rl.updates):
    state, metrics = online_step(state, jax.random.key(1))
    curve.append(float(metrics["success"]))
    clear_output(wait=True)
    figure, axis = plt.subplots(figsize=(7, 3))
    axis.plot(np.arange(1, len(curve) + 1), curve, marker=".")
    axis.set(xlabel="update", ylabel="success while exploring", ylim=(0, 1))
    display(figure)
    plt.close(figure)

# %%
print("after flow matching:", before)
print("after Flow-GSPO:", success(state))
assert np.isfinite(curve).all()
