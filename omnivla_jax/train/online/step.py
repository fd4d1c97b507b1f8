"""Stage III: Flow-GSPO, from rollout to optimizer update in one compiled function.

    collect: reset N states -> G copies -> T chunks of episodes -> advantages
    learn:   E epochs of M minibatches of the objective -> new parameters
"""

import functools
from typing import Any, Sequence

import jax
import optax

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import ChainScore, PyTree
from omnivla_jax.flow import log_prob
from omnivla_jax.policy import lora, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.policy.policy import Sampler
from omnivla_jax.train import actor, rng, state
from omnivla_jax.train.environment import Environment, apart
from omnivla_jax.train.observation_store import OBSERVATION_STORES, ObservationStore
from omnivla_jax.train.online import rollout as online_rollout
from omnivla_jax.train.online import update
from omnivla_jax.train.online.advantages import Metrics
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.sharding import MeshSharding, single_device
from omnivla_jax.train.state import TrainState


def create(
    before: TrainState, config: OnlineConfig, policy_config: PolicyConfig
) -> TrainState:
    """Stage III at step 0, from what stage II handed on."""
    key = rng.named_key(before.seed, "adapters")
    params = lora.add_adapters(state.evaluated(before), key, scope=config.scope)
    if config.objective.critic is not None:
        critic_key = rng.named_key(before.seed, "critic")
        params |= {policy.VALUE: policy.init_value(critic_key, policy_config)}
    return state.create(
        params,
        before.normalizer,
        _optimizer(params, config),
        seed=before.seed,
        held=config.reference == "sft",
    )


def make_step(
    environment: Environment,
    tasks: Sequence[int],
    *,
    policy_config: PolicyConfig,
    sampler: Sampler,
    config: OnlineConfig,
    placement: MeshSharding = single_device(),
) -> jax.stages.Wrapped:
    """Compiled `step(state, key) -> (state, metrics)`; the state is donated.

    The step's randomness is `fold_in(key, state.step)`: pass the same key every time.
    On a mesh, `placement` splits the batch and the parameters; hand in a state that
    lies there already (`placement.shardings`).
    """

    environment = apart(environment, placement.apart)

    def step(state: TrainState, key: jax.Array) -> tuple[TrainState, Metrics]:
        play_key, learn_key = jax.random.split(jax.random.fold_in(key, state.step))
        experience, played = online_rollout.collect(
            make_stochastic_actor(state, environment, policy_config, sampler, config),
            make_value_fn(state, environment, policy_config),
            play_key,
            environment,
            tasks,
            config=config,
            placement=placement,
        )
        after, learned = update.learn(
            state,
            learn_key,
            experience,
            models=models(state, environment, policy_config, sampler, config),
            config=config,
            placement=placement,
        )
        return placement.state(after), played | learned

    return compilation.jit(step, fused=environment.fused, donate_argnames=("state",))


def make_stochastic_actor(
    state: TrainState,
    environment: Environment,
    policy_config: PolicyConfig,
    sampler: Sampler,
    config: OnlineConfig,
) -> actor.Act:
    """Acts as `state` would, C chunks at a time, and records what learning needs."""
    return actor.make_stochastic_actor(
        lora.merge(state.params),
        state.normalizer,
        environment,
        config=policy_config,
        sampler=sampler,
        storage=storage(environment, state.normalizer, policy_config, config),
        branches=config.branches,
    )


def make_value_fn(
    state: TrainState, environment: Environment, policy_config: PolicyConfig
) -> online_rollout.ValueFn:
    """The critic of `state`, on the simulator's states."""
    params = lora.merge(state.params)

    def value(env: Any) -> jax.Array:
        seen = actor.look(environment, state.normalizer, env, config=policy_config)
        prefix = policy.encode_prefix(params, seen, config=policy_config)
        return policy.value(params, prefix, seen.state, config=policy_config)

    return value


def models(
    state: TrainState,
    environment: Environment,
    policy_config: PolicyConfig,
    sampler: Sampler,
    config: OnlineConfig,
) -> update.PolicyFns:
    """What given parameters say of recorded decisions."""
    kept = storage(environment, state.normalizer, policy_config, config)

    def score(params: PyTree, decision: actor.ActorOutput) -> ChainScore:
        return policy.chain_log_prob(
            params,
            kept.recall(params, decision.seen),
            decision.state,
            actor.turned(decision.chain),
            config=policy_config,
            sampler=sampler,
            played=decision.played,
        )

    def recorded(decision: actor.ActorOutput) -> ChainScore:
        mask = policy.counted(policy_config, sampler, played=decision.played)
        return log_prob.recorded_log_prob(actor.turned(decision.chain), mask=mask)

    def value(params: PyTree, decision: actor.ActorOutput) -> jax.Array:
        prefix = kept.recall(params, decision.seen)
        return policy.value(params, prefix, decision.state, config=policy_config)

    return update.PolicyFns(score, recorded, value)


def storage(
    environment: Environment,
    normalizer: Normalizer,
    policy_config: PolicyConfig,
    config: OnlineConfig,
) -> ObservationStore:
    """How decisions are kept until they are learned from."""
    look = functools.partial(
        actor.look, environment, normalizer, config=policy_config
    )
    return OBSERVATION_STORES[config.storage](look, policy_config)


def _optimizer(params: PyTree, config: OnlineConfig) -> optax.GradientTransformation:
    trained = lora.trainable_mask(params, config.scope)
    return state.make_optimizer(config.optimizer, trained)
