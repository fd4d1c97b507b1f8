"""The agent: a policy in an environment, from observation to simulator actions.

    agent = Agent(policy_config, environment.observe, normalizer, sampler)
    output, actions = agent.act(params, env_state, key)      # explores
    score = agent.log_prob(new_params, output)               # of what it did then

Axes: B environments, C chunks tried in each (branches), H chunk length, E executed
actions of a chunk, D action dimensions of the robot.
"""

from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import ActionChunk, Observation, PyTree, Score
from omnivla_jax.policy import normalize, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import action_head
from omnivla_jax.policy.heads.base import Sampler
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.rl import groups
from omnivla_jax.train.observation_store import OBSERVATION_STORES, ObservationStore


class ActorOutput(NamedTuple):
    """What scoring chunks again under other parameters takes."""

    observation_ref: PyTree  # [B, ...]: what the store keeps of the input
    proprio: jax.Array  # float32 [B, proprio_dim], normalised and padded
    # Leaves [B C, ...]: batch axis first, so that one index selects a minibatch of all.
    trace: PyTree = None  # of the action head; None: nothing was drawn
    value: jax.Array | None = None  # float32 [B]: the critic's, where there is one
    # bool [B C, E]: actions that were executed, known once they are; None: all
    executed_mask: jax.Array | None = None
    chunk: jax.Array | None = None  # float32 [B C, H, D], normalised and padded


@dataclass(frozen=True)
class Agent:
    """Everything about a policy but its parameters, made once in a program.

    Attributes:
      config: the policy's sizes and its action head.
      environment_observe: (env_state, instruction_id int32 [B]) -> `Observation`.
      normalizer: from the robot's units to the policy's and back.
      sampler: how the head explores; None: it only acts deterministically.
      store: how inputs are kept until they are learned from.
    """

    config: PolicyConfig
    environment_observe: Callable[[Any, jax.Array], Observation]
    normalizer: Normalizer
    sampler: Sampler | None = None
    store: ObservationStore = OBSERVATION_STORES["images"]

    def observe(
        self, env_state: Any, instruction_id: jax.Array | None = None
    ) -> Observation:
        """The observation in the policy's units.

        Args:
          env_state: B environments.
          instruction_id: int32 [B]; None: the instruction of each environment's task.

        Returns:
          Leaves [B, ...].
        """
        if instruction_id is None:
            instruction_id = env_state.task
        observation = self.environment_observe(env_state, instruction_id)
        proprio = normalize.normalize(self.normalizer.state, observation.proprio)
        return observation._replace(
            proprio=normalize.pad_dims(proprio, self.config.proprio_dim)
        )

    def act(
        self, params: PyTree, env_state: Any, key: jax.Array, *, num_branches: int = 1
    ) -> tuple[ActorOutput, jax.Array]:
        """Observe and explore.

        Args:
          params: of the policy.
          env_state: B environments.
          key: consumed.
          num_branches: C chunks of every state, which are neighbours.

        Returns:
          What learning needs, and the executed actions float32 [B C, E, D] in the
          simulator's units.
        """
        observation = self.observe(env_state)
        output, chunk = self.explore(
            params, env_state, observation, key, num_branches=num_branches
        )
        return output, self.to_simulator(chunk, observation.proprio)

    def explore(
        self,
        params: PyTree,
        env_state: Any,
        observation: Observation,
        key: jax.Array,
        *,
        num_branches: int,
    ) -> tuple[ActorOutput, ActionChunk]:
        """`act` on an observation, without leaving the policy's units.

        Args:
          params: of the policy.
          env_state: B environments.
          observation: of them.
          key: consumed.
          num_branches: C chunks of every state.

        Returns:
          What learning needs, and the chunks [B C, H, D].

        Raises:
          ValueError: the agent has no sampler.
        """
        if self.sampler is None:
            raise ValueError("An agent without a sampler acts deterministically only.")
        prefix = policy.encode_prefix(params, observation, config=self.config)
        shared, proprio = groups.repeat((prefix, observation.proprio), num_branches)
        chunk, trace = action_head(self.config).explore(
            params, shared, proprio, key, config=self.config, sampler=self.sampler
        )
        value = None
        if policy.VALUE in params:
            value = policy.value(
                params, prefix, observation.proprio, config=self.config
            )
        stored = self.store.save(env_state, observation, prefix)
        output = ActorOutput(stored, observation.proprio, trace, value, chunk=chunk)
        return output, chunk[:, : self.sampler.exec_horizon]

    def act_deterministic(
        self,
        params: PyTree,
        env_state: Any,
        key: jax.Array,
        *,
        instruction_id: jax.Array | None = None,
        steps: int,
    ) -> jax.Array:
        """Whole chunks, as evaluated.

        Args:
          params: of the policy.
          env_state: B environments.
          key: one for the batch, or one for every environment, [B]; consumed.
          instruction_id: as of `observe`.
          steps: of the head's ODE solver, where it has one.

        Returns:
          float32 [B, H, D], in the simulator's units.
        """
        observation = self.observe(env_state, instruction_id)
        cache = policy.encode_prefix(params, observation, config=self.config)
        chunk = action_head(self.config).act(
            params, cache, observation.proprio, key, config=self.config, steps=steps
        )
        return self.to_simulator(chunk, observation.proprio)

    def log_prob(self, params: PyTree, output: ActorOutput) -> Score:
        """The likelihood of what was done, under `params`."""
        prefix = self.store.load_prefix(
            params, output.observation_ref, self.observe, self.config
        )
        return action_head(self.config).score(
            params,
            prefix,
            output.proprio,
            output.trace,
            config=self.config,
            sampler=self.sampler,
            executed_mask=output.executed_mask,
        )

    def behavior_log_prob(self, output: ActorOutput) -> Score:
        """The likelihood of what was done, under the parameters that did it."""
        return action_head(self.config).score_recorded(
            output.trace,
            config=self.config,
            sampler=self.sampler,
            executed_mask=output.executed_mask,
        )

    def imitation_loss(
        self, params: PyTree, output: ActorOutput, key: jax.Array, is_shown: jax.Array
    ) -> jax.Array:
        """The supervised loss of some of the recorded chunks, over executed actions.

        Args:
          params: of the policy.
          output: what was recorded of B chunks, one a decision.
          key: of the loss's noise; consumed.
          is_shown: bool [B], the chunks that it is taken of.

        Returns:
          float32 []: the mean over their actions; 0 where there are none.
        """
        chunk, executed = output.chunk, output.executed_mask
        assert chunk is not None and executed is not None, "chunks were not executed"
        prefix = self.store.load_prefix(
            params, output.observation_ref, self.observe, self.config
        )
        unexecuted = chunk.shape[1] - executed.shape[1]
        mask = jnp.pad(executed, ((0, 0), (0, unexecuted))) & is_shown[:, None]
        some = jnp.any(mask)
        loss = action_head(self.config).sft_loss(
            params,
            prefix,
            output.proprio,
            chunk,
            key,
            config=self.config,
            draws=1,
            loss_mask=mask | ~some,  # a mean over nothing has no gradient
        )
        return jnp.where(some, loss, 0.0)

    def exact_kl(self, new: Score, other: Score) -> jax.Array:
        """The action head's divergence of two scores of the same chunks.

        Args:
          new, other: scores of B chunks, KL(new, other).

        Returns:
          float32 [K, B].
        """
        return action_head(self.config).exact_kl(new, other)

    def value(self, params: PyTree, output: ActorOutput) -> jax.Array:
        """The critic's value of recorded states.

        Args:
          params: of the policy and the critic.
          output: what was recorded in B states.

        Returns:
          float32 [B].
        """
        prefix = self.store.load_prefix(
            params, output.observation_ref, self.observe, self.config
        )
        return policy.value(params, prefix, output.proprio, config=self.config)

    def value_of(self, params: PyTree, env_state: Any) -> jax.Array:
        """The critic's value of the environments' states now.

        Args:
          params: of the policy and the critic.
          env_state: B environments.

        Returns:
          float32 [B].
        """
        observation = self.observe(env_state)
        prefix = policy.encode_prefix(params, observation, config=self.config)
        return policy.value(params, prefix, observation.proprio, config=self.config)

    def to_simulator(self, chunk: ActionChunk, proprio: jax.Array) -> jax.Array:
        """A chunk in the simulator's units, without padding.

        Args:
          chunk: float32 [..., action_dim], normalised and padded.

        Returns:
          float32 [..., D].
        """
        config = self.config
        real = normalize.unpad_dims(chunk, config.robot_action_dim)
        actions = normalize.unnormalize(self.normalizer.action, real)
        if not config.delta_mask:
            return actions
        state = normalize.unpad_dims(proprio, config.robot_proprio_dim)
        state = normalize.unnormalize(self.normalizer.state, state)
        state = groups.repeat(state, len(chunk) // len(proprio))
        return normalize.absolute_actions(actions, state, config.delta_mask)
