"""What training needs of a simulator: a few callables, so that any simulator fits.

Axes: B environments, D action dimensions, L language tokens, N instructions.
"""

import functools
from typing import Any, Callable, Iterable, NamedTuple, Sequence, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import indices
from omnivla_jax.core.types import Observation, PyTree, TimeStep
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.tokenizers import registry as tokenizers
from omnivla_jax.sim import env
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.goals import reward, task_ids
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.train.sharding import Batched
from omnivla_jax.world import observe, visual_scene


class Instructions(NamedTuple):
    """The words of every task, row by row."""

    tokens: jax.Array  # int32 [N, L]
    mask: jax.Array  # bool [N, L]: False on padding


# (state after a step, its action [B, D], the action before it [B, D], names of terms)
# -> the raw value of each term, float32 [B]
Terms: TypeAlias = Callable[
    [Any, jax.Array, jax.Array, Iterable[str]], dict[str, jax.Array]
]


def success_only(
    state: Any, action: jax.Array, previous_action: jax.Array, names: Iterable[str]
) -> dict[str, jax.Array]:
    """The one reward term that every simulator has; raises ValueError on others."""
    del action, previous_action
    unknown = sorted(set(names) - {"success"})
    if unknown:
        raise ValueError(f"This simulator has no reward terms {unknown}, only success.")
    return {name: state.success.astype(jnp.float32) for name in names}


def no_faults(state: Any) -> dict[str, jax.Array]:
    """Of a simulator that counts none."""
    del state
    return {}


class Environment(NamedTuple):
    """A batched simulator as pure functions; a batch is any pytree, batch first.

    A state carries `task` int32 [B], `success` bool [B] and `diverged` bool [B], and
    stays as it is once one of the latter two holds.
    """

    reset: Callable[[jax.Array, jax.Array], Any]  # (task [B], keys [B]) -> state
    step: Callable[[Any, jax.Array], tuple[Any, TimeStep]]  # (state, action [B, D])
    observe: Callable[[Any, jax.Array], Observation]  # (state, told int32 [B]): the
    # observation of an agent that is told the instruction of row `told`
    fused: bool  # whether programs that hold it may be (`core.compile.jit`)
    terms: Terms = success_only
    first_action: tuple[float, ...] = env.WAIT_ACTION  # [D]: before the first step
    # state -> counts [B] by name of what the simulator could not do; each is a metric
    faults: Callable[[Any], dict[str, jax.Array]] = no_faults
    tasks: tuple[int, ...] | None = None  # the numbers that `reset` takes; None: any


def instructions(texts: Sequence[str], config: PolicyConfig) -> Instructions:
    """Tokenise one text a row, as `config` says.

    Raises ValueError on a text longer than `config.max_tokens` and on a tokenizer that
    cannot be read.
    """
    encode = tokenizers.make_tokenizer(config)
    rows = [encode(text, config.max_tokens) for text in texts]
    return Instructions(
        jnp.asarray(np.stack([tokens for tokens, _ in rows])),
        jnp.asarray(np.stack([mask for _, mask in rows])),
    )


def instruction_tokens(
    words: Instructions, told: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Tokens [B, L] and mask [B, L] of rows `told` [B].

    Raises ValueError on rows that there are not, unless they are traced: nothing is
    said in those.
    """
    count = words.tokens.shape[0]
    wrong = indices.unknown(told, range(count), name="instruction's row")
    if wrong:
        raise ValueError(f"Unknown instructions {wrong}: there are 0 to {count - 1}.")
    told = jnp.asarray(told)
    exists = (told >= 0) & (told < count)
    row = jnp.where(exists, told, 0)
    return words.tokens[row], words.mask[row] & exists[:, None]


def check_tasks(environment: Environment, tasks: Sequence[int]) -> None:
    """Raise a ValueError that names those of `tasks` that the simulator lacks."""
    if environment.tasks is None:
        return
    wrong = indices.unknown(list(tasks), environment.tasks, name="task number")
    if wrong:
        held = indices.listed(environment.tasks)
        raise ValueError(f"Unknown tasks {wrong}: the simulator holds {held}.")


def simulator(scene: Scene, config: PolicyConfig, *, size: int) -> Environment:
    """The project's own simulator and renderer, which tells its tasks as `config` does.

    Images have `size` pixels a side. Raises ValueError as `instructions` does.
    """
    words = instructions([task.instruction for task in scene.tasks], config)
    visuals = visual_scene.make(scene)

    def look_at(state: EnvState, told: jax.Array) -> Observation:
        spoken = instruction_tokens(words, told)
        return observe.observe(scene, visuals, state, *spoken, size=size)

    def faults(state: EnvState) -> dict[str, jax.Array]:
        return {
            "contact_overflow": state.physics.overflow,
            "placement_failures": state.placement_failures,
            "unknown_task": ~task_ids.is_held(scene, state.task),
        }

    return Environment(
        reset=functools.partial(env.reset, scene),
        step=functools.partial(env.step, scene),
        observe=look_at,
        fused=ENGINES[scene.engine].supports_fusion,
        terms=functools.partial(reward.compute, scene),
        faults=faults,
        tasks=scene.task_ids,
    )


def apart(
    environment: Environment, divided: Callable[[Batched], Batched]
) -> Environment:
    """The same simulator, each of its functions of batches `divided`."""

    def terms(
        state: Any, action: jax.Array, before: jax.Array, names: Iterable[str]
    ) -> dict[str, jax.Array]:
        return divided(lambda now, a, b: environment.terms(now, a, b, names))(
            state, action, before
        )

    return environment._replace(
        reset=divided(environment.reset),
        step=divided(environment.step),
        observe=divided(environment.observe),
        terms=terms,
    )


def running(state: Any) -> jax.Array:
    """bool [B]: episodes that an action can still change."""
    return ~(state.success | state.diverged)


def first(state: PyTree, count: int) -> PyTree:
    """The first `count` environments of a batch."""
    return jax.tree.map(lambda leaf: leaf[:count], state)
