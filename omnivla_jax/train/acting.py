"""How a policy acts in evaluation beyond "observe, sample, execute".

Several candidates may be drawn (`candidates`), inference may take as long as some
control steps, during which the last chunk goes on, a new chunk may be made to continue
the last one (`flow.chunking`), and a picture may serve several chunks.

    actions of a cycle = the last chunk's [E, E + delay), the new one's [delay, E)

Axes: B environments, T chunks of an episode, H chunk length, E executed actions, D
action dimensions, W width of the action expert.
"""

import functools
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree
from omnivla_jax.flow import chunking, guidance
from omnivla_jax.flow.ode import VelocityFn
from omnivla_jax.policy import policy, steering
from omnivla_jax.policy.config import PolicyConfig, choose
from omnivla_jax.policy.heads import action_head, flow
from omnivla_jax.policy.prefix import PrefixCache
from omnivla_jax.policy.selectors.features import chunk_features
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.candidates import Scorer, SelectionConfig, Situation, best_of
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.episode_stats import RolloutState, execute_chunk, init_rollout

CHUNKING: Mapping[str, None] = {"splice": None, "guided": None}
# Entry of a policy's parameters: those of the policy that it is composed with.
OTHER = "other"


@dataclass(frozen=True)
class ActingConfig:
    """What is done at test time; the defaults are the policy as it is."""

    selection: SelectionConfig = field(default_factory=SelectionConfig)
    delay: int = 0  # control steps that inference takes, at most E
    # How a new chunk follows the last: "splice" as it is, "guided" by its remainder
    chunking: str = "splice"
    prefix_period: int = 1  # chunks for which an encoded observation serves
    compose_weight: float = 0.0  # of the velocity of a second policy, see OTHER
    # A reward that chunks climb while they are sampled, differentiable in the actions:
    # (env_state, actions float32 [B, H, D] in the simulator's units) -> float32 [B]
    guide: Callable[[Any, jax.Array], jax.Array] | None = None
    guide_strength: float = 1.0  # of its gradient, in the policy's units
    keep_features: bool = False  # of every chunk, for failure detection

    def __post_init__(self) -> None:
        choose("chunking", self.chunking, CHUNKING)
        if self.delay < 0 or self.prefix_period < 1:
            raise ValueError(
                f"delay={self.delay} must be at least 0 and prefix_period="
                f"{self.prefix_period} at least 1."
            )
        if not 0 <= self.compose_weight <= 1:
            raise ValueError(
                f"compose_weight={self.compose_weight} is a share: choose it in [0, 1]."
            )

    def check(self, policy_config: PolicyConfig, exec_horizon: int) -> None:
        """Raise a ValueError where a policy's chunks are too short for the delay."""
        if exec_horizon > policy_config.horizon:
            raise ValueError(
                f"exec_horizon={exec_horizon} exceeds the {policy_config.horizon} "
                "actions of a chunk."
            )
        left = policy_config.horizon - exec_horizon
        if not self.delay <= min(left, exec_horizon):
            raise ValueError(
                f"delay={self.delay}, but chunks of {policy_config.horizon} actions "
                f"leave {left} behind the {exec_horizon} that are executed: execute "
                "fewer, or at least as many as the delay."
            )
        if self.chunking == "guided" and policy_config.delta_mask:
            raise ValueError(
                "chunking='guided' compares chunks, which delta_mask makes relative to "
                "different states: choose 'splice'."
            )


class ActingState(NamedTuple):
    """What one decision leaves for the next."""

    behind: jax.Array  # float32 [B, delay, D]: executed while the next is computed
    remainder: jax.Array  # float32 [B, H, D]: unexecuted and normalised, then zeros
    cache: PrefixCache | None  # of the last observation; None: each has its own


class ChosenChunk(NamedTuple):
    """What is executed until the next decision."""

    actions: jax.Array  # float32 [B, E, D], in the simulator's units
    features: jax.Array | None  # float32 [B, W], where they are kept


@dataclass(frozen=True)
class Actor:
    """A policy with everything that is done around it at test time."""

    environment: Environment
    agent: Agent
    exec_horizon: int  # E
    steps: int  # of the head's ODE solver
    config: ActingConfig

    def first_state(
        self, params: PyTree, env_state: Any, instruction_id: jax.Array
    ) -> ActingState:
        """The state before the first decision: the robot waits.

        Args:
          params: of the policy.
          env_state: B environments.
          instruction_id: int32 [B].

        Returns:
          The state; its remainder and its cache are never read.
        """
        config, batch = self.agent.config, len(instruction_id)
        waiting = jnp.asarray(self.environment.first_action)
        remainder = jnp.zeros((batch, config.horizon, config.action_dim))
        cache = None
        if self.config.prefix_period > 1:
            shapes = jax.eval_shape(self._encode, params, env_state, instruction_id)
            cache = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        shape = (batch, self.config.delay, len(waiting))
        return ActingState(jnp.broadcast_to(waiting, shape), remainder, cache)

    def roll_out(
        self,
        params: PyTree,
        env_state: Any,
        *,
        noise_key: jax.Array,
        instruction_id: jax.Array,
        chunks: int,
        recorded: int,
    ) -> tuple[RolloutState, PyTree, jax.Array | None]:
        """Decide and execute, T times.

        Args:
          params: of the policy.
          env_state: B initial states.
          noise_key: [B], of the policy's noise.
          instruction_id: int32 [B].
          chunks: T.
          recorded: R, how many of the episodes are recorded.

        Returns:
          The episodes at their end; the states of the first R after every step, [T, E,
          R, ...]; and the chunks' features [T, B, W], where they are kept.
        """

        def control_step(
            rollout: RolloutState, action: jax.Array
        ) -> tuple[RolloutState, PyTree]:
            rollout, _, _ = execute_chunk(self.environment, rollout, action[:, None])
            return rollout, jax.tree.map(lambda x: x[:recorded], rollout.env_state)

        def run_chunk(
            carry: tuple[RolloutState, ActingState], number: jax.Array
        ) -> tuple[tuple[RolloutState, ActingState], PyTree]:
            rollout, state = carry
            chosen, state = self.decide(
                params,
                rollout.env_state,
                state,
                # The noise of chunk t of an episode comes from its own key and t.
                jax.vmap(jax.random.fold_in, (0, None))(noise_key, number),
                instruction_id=instruction_id,
                number=number,
            )
            executed = jnp.moveaxis(chosen.actions, 1, 0)
            rollout, frames = jax.lax.scan(control_step, rollout, executed)
            return (rollout, state), (frames, chosen.features)

        rollout = init_rollout(self.environment, env_state, {"success": 1.0})
        state = self.first_state(params, env_state, instruction_id)
        (rollout, _), (frames, features) = jax.lax.scan(
            run_chunk, (rollout, state), jnp.arange(chunks)
        )
        return rollout, frames, features

    def decide(
        self,
        params: PyTree,
        env_state: Any,
        state: ActingState,
        key: jax.Array,
        *,
        instruction_id: jax.Array,
        number: jax.Array,
    ) -> tuple[ChosenChunk, ActingState]:
        """Observe, sample and choose.

        Args:
          params: of the policy.
          env_state: B environments.
          state: of the last decision.
          key: [B], of the noise; consumed.
          instruction_id: int32 [B].
          number: int32 [], of the decision in its episode.

        Returns:
          The actions until the next decision, and what is left for that.
        """
        acting, end = self.config, self.exec_horizon
        observation = self.agent.observe(env_state, instruction_id)
        proprio, config = observation.proprio, self.agent.config
        if acting.prefix_period == 1:
            cache = policy.encode_prefix(params, observation, config=config)
        else:  # no picture is drawn unless it is encoded
            cache = jax.lax.cond(
                number % acting.prefix_period == 0,
                lambda: self._encode(params, env_state, instruction_id),
                lambda: state.cache,
            )
        situation = Situation(env_state, instruction_id, cache, proprio, key)
        scorer = Scorer(self.environment, self.agent, end, self.steps, acting.selection)
        draw = self._draw(params, situation, state, number)
        chunk, _ = best_of(scorer, params, situation, draw)
        actions = self.agent.to_simulator(chunk, proprio)
        executed = [state.behind, actions[:, acting.delay : end]]
        features = None
        if acting.keep_features:
            features = chunk_features(
                params, cache, proprio, chunk, config=config, exec_horizon=end
            )
        left = ActingState(
            actions[:, end : end + acting.delay],
            jnp.pad(chunk[:, end:], ((0, 0), (0, end), (0, 0))),
            None if acting.prefix_period == 1 else cache,
        )
        return ChosenChunk(jnp.concatenate(executed, axis=1), features), left

    def _encode(
        self, params: PyTree, env_state: Any, instruction_id: jax.Array
    ) -> PrefixCache:
        """The prefix of what is seen now."""
        observation = self.agent.observe(env_state, instruction_id)
        return policy.encode_prefix(params, observation, config=self.agent.config)

    def _draw(
        self,
        params: PyTree,
        situation: Situation,
        state: ActingState,
        number: jax.Array,
    ) -> Callable[[jax.Array], jax.Array]:
        """What draws chunks float32 [B, H, D] from keys [B]."""
        config = self.agent.config
        alterations = self._alterations(params, situation, state, number)

        def along_altered(velocity_fn: VelocityFn) -> VelocityFn:
            for alter in alterations:
                velocity_fn = alter(velocity_fn)
            return velocity_fn

        sample = action_head(config).act
        if alterations:
            sample = functools.partial(steering.sample, alter=along_altered)
        return lambda key: sample(
            params,
            situation.cache,
            situation.proprio,
            key,
            config=config,
            steps=self.steps,
        )

    def _alterations(
        self,
        params: PyTree,
        situation: Situation,
        state: ActingState,
        number: jax.Array,
    ) -> list[steering.Alter]:
        """What is done to the velocity, in this order."""
        acting, config = self.config, self.agent.config
        alterations: list[steering.Alter] = []
        if acting.compose_weight:
            other = params[OTHER]
            cache = self._encode(other, situation.env_state, situation.instruction_id)
            second = functools.partial(
                flow.velocity, other, cache, situation.proprio, config=config
            )
            share = acting.compose_weight
            alterations.append(
                lambda first: guidance.composed((first, second), (1.0 - share, share))
            )
        if acting.chunking == "guided":
            overlap = config.horizon - self.exec_horizon
            weights = chunking.overlap_weights(
                config.horizon, delay=acting.delay, overlap=overlap
            )
            planned = chunking.continuation_reward(
                state.remainder, jnp.asarray(weights) * (number > 0)
            )
            alterations.append(
                lambda first: guidance.guided(first, planned, chunking.strength)
            )
        guide = acting.guide
        if guide is not None:
            climbed = guide
            alterations.append(
                lambda first: guidance.guided(
                    first,
                    lambda chunk: climbed(
                        situation.env_state,
                        self.agent.to_simulator(chunk, situation.proprio),
                    ),
                    lambda tau: jnp.full_like(tau, acting.guide_strength),
                )
            )
        return alterations
