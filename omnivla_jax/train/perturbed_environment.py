"""The simulator with perturbations: given ones to evaluate, drawn ones to train on.

Axes: B environments, N tasks of the suite.
"""

import dataclasses
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.core.types import Observation
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.tokenizers import registry as tokenizers
from omnivla_jax.sim import env
from omnivla_jax.sim.resets.region_sampler import LayoutChange
from omnivla_jax.sim.state import EnvState, Scene
from omnivla_jax.train import environment
from omnivla_jax.train.environment import Environment
from omnivla_jax.world import proprioception, visual_scene
from omnivla_jax.world.perturbations import (
    language,
    perturbation,
    training_draws,
)
from omnivla_jax.world.perturbations.perturbation import Perturbation


class PerturbedStart(NamedTuple):
    """What `reset` takes of every episode instead of a key."""

    key: Any  # typed keys [B], or what else the simulator's own `reset` takes
    change: Perturbation


def texts(scene: Scene) -> tuple[str, ...]:
    """The instructions of the scene's tasks and all their rewordings."""
    return language.table([task.instruction for task in scene.tasks])


def with_room(config: PolicyConfig, scene: Scene) -> PolicyConfig:
    """The policy with room for every rewording; its parameters are the same.

    The original's rewordings have twice the words of LIBERO's instructions.
    """
    pieces = tokenizers.make_tokenizer(
        dataclasses.replace(config, max_tokens=_MANY_TOKENS)
    )
    longest = max(int(pieces(text, _MANY_TOKENS)[1].sum()) for text in texts(scene))
    return dataclasses.replace(config, max_tokens=max(config.max_tokens, longest))


_MANY_TOKENS = 1024


# (scene, task [B], what a start has instead of keys, change of layouts) -> episodes
# whose objects have not settled yet
Place = Callable[[Scene, jax.Array, Any, LayoutChange], EnvState]


def simulator(
    scene: Scene, config: PolicyConfig, *, size: int, place: Place = env.place
) -> Environment:
    """The project's simulator, whose `reset` takes a `PerturbedStart`.

    Unperturbed episodes are those of `environment.simulator`, bit for bit.

    Args:
      scene: the tasks, with `layout.DISTRACTORS` as extras where layouts shall have
        some.
      config: of the policy, with room for the rewordings, see `with_room`.
      size: pixels a side of the images.
      place: how episodes begin.

    Returns:
      The functions that evaluation calls.

    Raises:
      ValueError: a rewording is longer than `config.max_tokens`.
    """
    plain = environment.simulator(scene, config, size=size)
    table = environment.instructions(texts(scene), config)
    visuals, count = visual_scene.make(scene), len(scene.tasks)

    def reset(task: jax.Array, start: PerturbedStart) -> EnvState:
        layout = start.change.layout.change
        placed = place(scene, task, start.key, layout)
        return perturbation.begin(scene, placed, start.change)

    def observe_batch(state: EnvState, instruction_id: jax.Array) -> Observation:
        change: Perturbation = state.perturbation
        row = language.row(jnp.asarray(instruction_id), change.phrase, count)
        tokens, mask = environment.instruction_tokens(table, row)
        return Observation(
            images=perturbation.pictures(scene, visuals, state, size=size),
            tokens=tokens,
            token_mask=mask,
            proprio=proprioception.policy_state(scene, state),
        )

    return plain._replace(reset=reset, observe=observe_batch)


def drawing(
    perturbed: Environment, scene: Scene, config: training_draws.PerturbConfig
) -> Environment:
    """A perturbed simulator that draws each episode's perturbation for training.

    Args:
      perturbed: of `simulator`.
      scene: the tasks.
      config: what is drawn, and how often.

    Returns:
      The simulator, whose `reset` takes what its `starts` returns.
    """

    def starts(keys: jax.Array, severity: jax.Array) -> Any:
        return keys, jnp.broadcast_to(severity, keys.shape)

    def reset(task: jax.Array, start: Any) -> EnvState:
        keys, severity = start
        reset_keys, change_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        change = training_draws.draw(scene, change_keys, severity, config=config)
        return perturbed.reset(task, PerturbedStart(reset_keys, change))

    return perturbed._replace(reset=reset, starts=starts)
