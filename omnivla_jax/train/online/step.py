"""Stage III: Flow-GSPO, from rollout to optimizer update in one compiled function.

collect: reset N states -> G copies -> T chunks of episodes -> advantages
learn:   E epochs of M minibatches of the objective -> new parameters
"""

import dataclasses
from typing import Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.policy import lora, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads.base import Sampler
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.rl import curriculum
from omnivla_jax.train import rng, state
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.environment import Environment, shard_map_environment
from omnivla_jax.train.observation_store import OBSERVATION_STORES
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.online.objectives import Metrics
from omnivla_jax.train.online.rollout import collect
from omnivla_jax.train.online.update import update_epochs
from omnivla_jax.train.sharding import SINGLE_DEVICE, MeshSharding
from omnivla_jax.train.state import TrainState
from omnivla_jax.world.perturbations import training_draws


def create(
    sft_state: TrainState,
    config: OnlineConfig,
    policy_config: PolicyConfig,
    *,
    num_tasks: int = 0,
) -> TrainState:
    """Stage III at step 0.

    Args:
      sft_state: the state that stage II ended in.
      config: of stage III.
      policy_config: of the policy.
      num_tasks: M, whose success is remembered where `config` asks for it.

    Returns:
      Its parameters, with adapters and a critic where `config` asks for them.

    Raises:
      ValueError: success is to be remembered of no task.
    """
    if config.task_memory and not num_tasks:
        raise ValueError(
            f"task_memory={config.task_memory} remembers the success of tasks: pass "
            "num_tasks, how many of them are trained."
        )
    key = rng.named_key(sft_state.seed, "adapters")
    params = lora.add_adapters(
        state.eval_params(sft_state), key, trainable=config.trainable
    )
    if config.objective.has_critic:
        critic_key = rng.named_key(sft_state.seed, "critic")
        params |= {policy.VALUE: policy.init_value(critic_key, policy_config)}
    trained = lora.trainable_mask(params, config.trainable)
    started = state.create(
        params,
        sft_state.normalizer,
        state.make_optimizer(config.optimizer, trained),
        seed=sft_state.seed,
        keep_ema=config.ema_decay > 0,
        keep_reference=config.reference == "sft",
    )
    if config.perturb is not None:
        limit = jnp.asarray(config.perturb.start)
        started = dataclasses.replace(started, severity=limit)
    if not config.task_memory:
        return started
    return dataclasses.replace(
        started, task_success=curriculum.initial_success(num_tasks)
    )


def make_step(
    environment: Environment,
    tasks: Sequence[int],
    *,
    policy_config: PolicyConfig,
    sampler: Sampler,
    config: OnlineConfig,
    mesh_sharding: MeshSharding = SINGLE_DEVICE,
) -> jax.stages.Wrapped:
    """Compiled `step(state, key) -> (state, metrics)`; the state is donated.

    The step's randomness is `fold_in(key, state.step)`: pass the same key every time.

    Args:
      environment: the simulator.
      tasks: its task ids that episodes are played of.
      policy_config, sampler: the policy, and how its action head explores.
      config: of stage III.
      mesh_sharding: splits batch and parameters; the state lies on the mesh already.

    Returns:
      The function, to be called or lowered.
    """
    environment = shard_map_environment(environment, mesh_sharding.shard_map_batch)

    def step(state: TrainState, key: jax.Array) -> tuple[TrainState, Metrics]:
        rollout_key, update_key = jax.random.split(jax.random.fold_in(key, state.step))
        exploring = anneal(sampler, state.step, config)
        agent = make_agent(
            environment, policy_config, exploring, state.normalizer, config
        )
        averaged = config.rollout_policy == "average"
        batch, episode_metrics, task_success = collect(
            agent,
            lora.merge(state.ema_params if averaged else state.params),
            rollout_key,
            environment,
            tasks,
            config=config,
            mesh_sharding=mesh_sharding,
            task_success=state.task_success,
            severity=state.severity,
        )
        after, update_metrics = update_epochs(
            state,
            update_key,
            batch,
            agent=agent,
            config=config,
            mesh_sharding=mesh_sharding,
        )
        metrics = episode_metrics | update_metrics
        severity, metrics = _advance_severity(state, metrics, config)
        after = dataclasses.replace(after, task_success=task_success, severity=severity)
        return mesh_sharding.constrain_state(after), metrics

    fused = environment.supports_fusion
    return compilation.jit(
        mesh_sharding.with_mesh(step), fused=fused, donate_argnames=("state",)
    )


def _advance_severity(
    state: TrainState, metrics: Metrics, config: OnlineConfig
) -> tuple[jax.Array | None, Metrics]:
    """The perturbations' severity of the next update; this update's as a metric."""
    if config.perturb is None or state.severity is None:
        return state.severity, metrics
    following = training_draws.advance(
        state.severity, metrics["success"], config=config.perturb
    )
    return following, metrics | {"severity": state.severity}


def anneal(sampler: Sampler, step: jax.Array, config: OnlineConfig) -> Sampler:
    """The sampler of an update: its noise falls linearly to the last update's.

    Args:
      sampler: of the first update.
      step: int32 [], updates before this one.
      config: of stage III; `final_exploration` is the last update's share.

    Returns:
      The sampler; the same one where the noise stays.
    """
    if config.final_exploration == 1.0:
        return sampler
    done = jnp.minimum(step / max(config.updates - 1, 1), 1.0)
    share = 1.0 + (config.final_exploration - 1.0) * done
    return sampler.scaled(share.astype(jnp.float32))


def make_agent(
    environment: Environment,
    policy_config: PolicyConfig,
    sampler: Sampler,
    normalizer: Normalizer,
    config: OnlineConfig,
) -> Agent:
    """The agent that explores and is scored in stage III.

    Args:
      environment: the simulator.
      policy_config, sampler: the policy, and how its action head explores.
      normalizer: from the robot's units to the policy's.
      config: of stage III, which names the observation store.

    Returns:
      The agent.
    """
    store = OBSERVATION_STORES[config.observation_store]
    return Agent(policy_config, environment.observe, normalizer, sampler, store)
