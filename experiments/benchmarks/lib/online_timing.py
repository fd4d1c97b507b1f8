"""Times of whole online updates: sampling, physics, rendering and learning.

The policy is untrained, so that hardly an episode ends early: nearly all counted
control steps are executed.
"""

import functools
import time
from typing import Any, Callable

import jax

from experiments.benchmarks.lib import memory
from experiments.configs.schema import ExperimentConfig
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.normalize import identity_normalizer
from omnivla_jax.train import observation_store, online, rng, sft
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.online import profile
from omnivla_jax.train.online import rollout as online_rollout
from omnivla_jax.train.sharding import SINGLE_DEVICE
from omnivla_jax.train.state import TrainState


def measure(
    settings: ExperimentConfig, simulator: Environment, updates: int
) -> dict[str, Any]:
    """Time whole updates, and the parts of one.

    Args:
      settings: of the run.
      simulator: the environment of its tasks.
      updates: timed ones, after the first.
    """
    start, key = untrained(settings), rng.named_key(settings.seed, "online")
    shared: dict[str, Any] = {
        "policy_config": settings.policy,
        "sampler": settings.sampler,
        "config": settings.rl,
    }
    parts = profile.profile_update(
        start, key, environment=simulator, tasks=settings.tasks, **shared
    )
    stored = experience(start, key, simulator, settings)
    begin = time.perf_counter()
    step = online.make_step(simulator, settings.tasks, **shared)
    program = step.lower(start, key).compile()
    compiling = time.perf_counter() - begin
    seconds = timed(program, start, key, updates)
    steps = settings.rl.total * (settings.sampler.exec_horizon or 1)
    return {
        "environments": settings.rl.total // settings.rl.chunks,
        "control_steps": steps,
        "control_steps_per_second": steps / seconds,
        "seconds_per_update": seconds,
        "seconds": parts,
        "compile_seconds": compiling,
        "observation_store": settings.rl.observation_store,
        "experience_mib": observation_store.nbytes(stored) / memory.MIB,
        "peak_memory_mib": memory.peak()[0] / memory.MIB,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }


def untrained(
    settings: ExperimentConfig,
    init: Callable[[jax.Array, PolicyConfig], PyTree] = sft.fresh_params,
) -> TrainState:
    """Training state of online RL with random parameters and identity normalizer.

    Args:
      settings: of the run.
      init: (key, policy's config) -> its parameters.
    """
    key, config = rng.named_key(settings.seed, "init"), settings.policy
    params = init(key, config)
    normalizer = identity_normalizer(config.robot_proprio_dim, config.robot_action_dim)
    before = sft.create(params, normalizer, settings.sft, seed=settings.seed)
    return online.create(before, settings.rl, config, num_tasks=len(settings.tasks))


def experience(
    start: TrainState,
    key: jax.Array,
    simulator: Environment,
    settings: ExperimentConfig,
) -> online_rollout.RolloutBatch:
    """Shapes of what one update stores."""
    agent = online.make_agent(
        simulator, settings.policy, settings.sampler, start.normalizer, settings.rl
    )
    gather = functools.partial(
        online_rollout.collect,
        agent,
        start.params,
        environment=simulator,
        tasks=settings.tasks,
        config=settings.rl,
        mesh_sharding=SINGLE_DEVICE,
    )
    return jax.eval_shape(gather, key)[0]


def timed(program: Any, current: TrainState, key: jax.Array, updates: int) -> float:
    """Seconds per update after the first one."""
    current, metrics = jax.block_until_ready(program(current, key))
    begin = time.perf_counter()
    for _ in range(updates):
        current, metrics = program(current, key)
    jax.block_until_ready((current, metrics))
    return (time.perf_counter() - begin) / updates
