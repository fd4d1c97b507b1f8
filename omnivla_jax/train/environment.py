"""The seam of simulators: a few callables and facts, so that any simulator fits.

Axes: B environments, D action dimensions, L language tokens, N instructions.
"""

import functools
from typing import Any, Callable, Iterable, NamedTuple, Sequence, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import indices
from omnivla_jax.core.types import Observation, TimeStep
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.tokenizers import registry as tokenizers
from omnivla_jax.sim import env
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.goals import reward, task_ids
from omnivla_jax.sim.state import EnvState, Scene
from omnivla_jax.train.sharding import Batched
from omnivla_jax.world import observe, visual_scene


class Instructions(NamedTuple):
    """The tokens of every task's instruction, row by row."""

    tokens: jax.Array  # int32 [N, L]
    mask: jax.Array  # bool [N, L]: False on padding


# (state after a step, its action [B, D], the action before it [B, D], names of terms)
# -> the unweighted value of each term, float32 [B]
RewardTerms: TypeAlias = Callable[
    [Any, jax.Array, jax.Array, Iterable[str]], dict[str, jax.Array]
]


def success_only(
    state: Any, action: jax.Array, previous_action: jax.Array, names: Iterable[str]
) -> dict[str, jax.Array]:
    """The one reward term that every simulator has.

    Args:
      state: after a step.
      action, previous_action: [B, D], not used.
      names: of terms.

    Returns:
      {"success": float32 [B]}, or {} of no names.

    Raises:
      ValueError: another name.
    """
    del action, previous_action
    unknown = sorted(set(names) - {"success"})
    if unknown:
        raise ValueError(f"This simulator has no reward terms {unknown}, only success.")
    return {name: state.success.astype(jnp.float32) for name in names}


class Environment(NamedTuple):
    """A batched simulator as pure functions; a batch is any pytree, batch first.

    A state carries `task` int32 [B], `success` bool [B] and `diverged` bool [B], and
    stays as it is once one of the latter two holds.
    """

    reset: Callable[[jax.Array, Any], Any]  # (task [B], keys [B]) -> state
    step: Callable[[Any, jax.Array], tuple[Any, TimeStep]]  # (state, action [B, D])
    # (state, instruction_id int32 [B]) -> the observation with those instructions
    observe: Callable[[Any, jax.Array], Observation]
    first_action: tuple[float, ...]  # [D]: the action before the first step
    supports_fusion: bool  # whether XLA may fuse its programs (`core.compile.jit`)
    reward_terms: RewardTerms = success_only
    sparse_terms: frozenset[str] = frozenset({"success"})  # summed, not averaged
    # state -> counts [B] by name of what the simulator could not do; each is a metric
    diagnostics: Callable[[Any], dict[str, jax.Array]] = lambda state: {}
    task_ids: tuple[int, ...] | None = None  # that `reset` takes; None: any
    # (keys [B], severity float32 []) -> what `reset` takes instead of keys, for
    # simulators that are perturbed as training goes on; None: keys
    starts: Callable[[jax.Array, jax.Array], Any] | None = None


def instructions(texts: Sequence[str], config: PolicyConfig) -> Instructions:
    """Tokenise one text a row, with the tokenizer of `config`.

    Raises:
      ValueError: a text is longer than `config.max_tokens`, or the tokenizer cannot be
        read.
    """
    tokenize = tokenizers.make_tokenizer(config)
    rows = [tokenize(text, config.max_tokens) for text in texts]
    return Instructions(
        jnp.asarray(np.stack([tokens for tokens, _ in rows])),
        jnp.asarray(np.stack([mask for _, mask in rows])),
    )


def instruction_tokens(
    table: Instructions, instruction_id: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Look up instructions; rows that do not exist have an empty mask where traced.

    Args:
      table: N instructions.
      instruction_id: int32 [B], rows of the table.

    Returns:
      Tokens int32 [B, L] and mask bool [B, L].

    Raises:
      ValueError: a row does not exist, and its number is known.
    """
    count = table.tokens.shape[0]
    unknown = indices.unknown(instruction_id, range(count), name="instruction's row")
    if unknown:
        raise ValueError(f"Unknown instructions {unknown}: there are 0 to {count - 1}.")
    instruction_id = jnp.asarray(instruction_id)
    exists = (instruction_id >= 0) & (instruction_id < count)
    row = jnp.where(exists, instruction_id, 0)
    return table.tokens[row], table.mask[row] & exists[:, None]


def check_tasks(environment: Environment, tasks: Sequence[int]) -> None:
    """Raise a ValueError that names those of `tasks` that the simulator lacks."""
    if environment.task_ids is None:
        return
    unknown = indices.unknown(list(tasks), environment.task_ids, name="task number")
    if unknown:
        known = indices.listed(environment.task_ids)
        raise ValueError(f"Unknown tasks {unknown}: the simulator holds {known}.")


def simulator(scene: Scene, config: PolicyConfig, *, size: int) -> Environment:
    """The project's own simulator and renderer, with instructions as tokens.

    Args:
      scene: the tasks.
      config: of the policy, whose tokenizer is used.
      size: pixels a side of the images.

    Returns:
      The functions that training calls.

    Raises:
      ValueError: as `instructions`.
    """
    table = instructions([task.instruction for task in scene.tasks], config)
    visuals = visual_scene.make(scene)

    def observe_batch(state: EnvState, instruction_id: jax.Array) -> Observation:
        tokens, mask = instruction_tokens(table, instruction_id)
        return observe.observe(scene, visuals, state, tokens, mask, size=size)

    return Environment(
        reset=functools.partial(env.reset, scene),
        step=functools.partial(env.step, scene),
        observe=observe_batch,
        first_action=env.WAIT_ACTION,
        supports_fusion=ENGINES[scene.engine].supports_fusion,
        reward_terms=functools.partial(reward.compute, scene),
        sparse_terms=reward.SPARSE_TERMS,
        diagnostics=lambda state: {
            "contact_overflow": state.physics.overflow,
            "placement_failures": state.placement_failures,
            "unknown_task": ~task_ids.is_held(scene, state.task),
        },
        task_ids=scene.task_ids,
    )


def shard_map_environment(
    environment: Environment, shard_map_batch: Callable[[Batched], Batched]
) -> Environment:
    """The same simulator, each of its functions of batches split over the devices."""

    def reward_terms(
        state: Any, action: jax.Array, previous: jax.Array, names: Iterable[str]
    ) -> dict[str, jax.Array]:
        split = shard_map_batch(
            lambda now, a, b: environment.reward_terms(now, a, b, names)
        )
        return split(state, action, previous)

    return environment._replace(
        reset=shard_map_batch(environment.reset),
        step=shard_map_batch(environment.step),
        observe=shard_map_batch(environment.observe),
        reward_terms=reward_terms,
    )


def is_running(state: Any) -> jax.Array:
    """Which episodes an action can still change.

    Args:
      state: B episodes.

    Returns:
      bool [B].
    """
    return ~(state.success | state.diverged)
