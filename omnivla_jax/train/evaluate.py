"""Success on held-out initial states, with its confidence interval, task by task.

Axes: B episodes of one compiled call, N episodes in all, T chunks, E executed actions
of a chunk, R recorded episodes.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import compile as compilation
from omnivla_jax.core import indices
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import normalize, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.train import agent, loop, streams
from omnivla_jax.train.environment import Environment, first

Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True)
class EvaluateConfig:
    """How many episodes, how long, and how the policy acts in them."""

    episodes: int  # N, a multiple of batch_size
    batch_size: int  # B
    chunks: int  # T
    exec_horizon: int  # E
    steps: int = 10  # of the ODE
    recorded: int = 4  # R, the first episodes of the first batch; 0: none

    def __post_init__(self) -> None:
        if self.episodes % self.batch_size:
            raise ValueError(
                f"episodes={self.episodes} must be a multiple of "
                f"batch_size={self.batch_size}."
            )


class Start(NamedTuple):
    """Where episodes begin and what the policy is told."""

    task: Any  # int32 [N]
    key: Any  # typed keys [N]
    told: Any  # int32 [N]: the task whose instruction is heard


class Outcome(NamedTuple):
    """What became of episodes, on the device or fetched from it."""

    success: Any  # bool [B]
    diverged: Any  # bool [B]
    steps: Any  # float32 [B]: control steps until the end
    record: PyTree  # states of the first R episodes after every step, [T * E, R, ...]


Evaluate = Callable[[PyTree, Normalizer, Start, jax.Array], Outcome]


def held_out(
    seed: int,
    tasks: Sequence[int],
    config: EvaluateConfig,
    *,
    stream: str = "evaluation",
) -> Start:
    """The same N initial states for every evaluation of a run; tasks take turns.

    What is chosen by its success on one stream's states, such as the best checkpoint
    on those of "validation", is to be judged on another's.
    """
    task = jnp.resize(jnp.asarray(tasks, jnp.int32), (config.episodes,))
    keys = jax.random.split(streams.stream(seed, stream), config.episodes)
    return Start(task, keys, task)


def swap_instructions(start: Start, tasks: Sequence[int]) -> Start:
    """Tell every episode the instruction of the next task in `tasks`; goals stay.

    Raises ValueError if there is no other task.
    """
    if len(set(tasks)) < 2:
        raise ValueError(f"Swapping instructions needs two tasks, but got {tasks}.")
    following = dict(zip(tasks, [*tasks[1:], tasks[0]]))
    wrong = indices.unknown(start.task, list(tasks), name="task number")
    if wrong:
        raise ValueError(f"Episodes of tasks {wrong}, which are none of {list(tasks)}.")
    told = [following[int(task)] for task in np.asarray(start.task)]
    return start._replace(told=jnp.asarray(told, jnp.int32))


def make_evaluate(
    environment: Environment, policy_config: PolicyConfig, config: EvaluateConfig
) -> jax.stages.Wrapped:
    """Compiled `evaluate(params, normalizer, start, key) -> Outcome` of one batch.

    The length is fixed: T chunks of E actions; episodes that end stay as they are.
    """

    def evaluate(
        params: PyTree, normalizer: Normalizer, start: Start, key: jax.Array
    ) -> Outcome:
        chex.assert_shape([start.task, start.told], (config.batch_size,))
        act = agent.exploiter(
            params,
            normalizer,
            environment,
            start.told,
            config=policy_config,
            steps=config.steps,
        )
        env = environment.reset(start.task, start.key)
        progress = agent.start(environment, env, {"success": 1.0})
        progress, record = _episodes(environment, act, progress, key, config)
        env = progress.env
        return Outcome(env.success, env.diverged, progress.tally.steps, record)

    return compilation.jit(evaluate, fused=environment.fused)


def compiled(
    environment: Environment, policy_config: PolicyConfig, config: EvaluateConfig
) -> Evaluate:
    """`make_evaluate`, compiled before its first call."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    shape = (config.batch_size,)
    task = jax.ShapeDtypeStruct(shape, jnp.int32)
    start = Start(task, jax.ShapeDtypeStruct(shape, key.dtype), task)
    params = jax.eval_shape(functools.partial(policy.init, config=policy_config), key)
    normalizer = normalize.unscaled(
        policy_config.robot_state_dim, policy_config.robot_action_dim
    )
    program = make_evaluate(environment, policy_config, config)
    return program.lower(params, normalizer, start, key).compile()


def run(
    evaluate: Evaluate,
    params: PyTree,
    normalizer: Normalizer,
    start: Start,
    *,
    seed: int,
    config: EvaluateConfig,
    report: Callable[[int, float], Any] = lambda episodes, success: None,
) -> Outcome:
    """All N episodes, a batch at a time.

    Success, diverged and steps are numpy [N]; the record is that of the first batch.

    Args:
      evaluate: what `make_evaluate` made.
      params, normalizer: the policy.
      start: of N episodes.
      seed: of the run; the policy's noise is the same in every evaluation.
      config: the sizes.
      report: called with (episodes of a finished batch, success so far).
    """
    key = jax.random.fold_in(streams.stream(seed, "evaluation"), config.episodes)
    # One device evaluates, wherever the policy was trained.
    params, normalizer = jax.device_put((params, normalizer), jax.local_devices()[0])
    outcomes: list[Outcome] = []
    for low in range(0, config.episodes, config.batch_size):
        batch = jax.tree.map(lambda leaf: leaf[low : low + config.batch_size], start)
        outcome = evaluate(params, normalizer, batch, jax.random.fold_in(key, low))
        loop.wait(outcome)
        fetched = jax.device_get(outcome._replace(record=None))
        outcomes.append(fetched._replace(record=outcome.record if low == 0 else None))
        report(config.batch_size, float(np.mean(_joined(outcomes, "success"))))
    return Outcome(
        success=_joined(outcomes, "success"),
        diverged=_joined(outcomes, "diverged"),
        steps=_joined(outcomes, "steps"),
        record=outcomes[0].record,
    )


def summarise(
    success: np.ndarray, task: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Success with its 95 % interval, in all and by task.

    Args:
      success: bool [N].
      task: int [N], rows of `names`.
      names: what each task is called in the result.

    Raises:
      ValueError: a task has no name.
    """
    wrong = indices.unknown(task, range(len(names)), name="task number")
    if wrong:
        raise ValueError(f"Tasks {wrong} have no name: there are {len(names)}.")
    per_task = {
        names[row]: {
            **_estimate(success[task == row]),
            "episodes": int(np.sum(task == row)),
        }
        for row in dict.fromkeys(int(row) for row in task)
    }
    return _estimate(success) | {"per_task": per_task}


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a success probability.

    Raises ValueError unless 0 <= successes <= n and n > 0.
    """
    if not 0 <= successes <= n or not n:
        raise ValueError(f"{successes} successes of {n} episodes are not possible.")
    share, z2 = successes / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    spread = math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    half = Z95 / (1 + z2 / n) * spread
    return max(0.0, centre - half), min(1.0, centre + half)


def _episodes(
    environment: Environment,
    act: agent.Act,
    progress: agent.Progress,
    key: jax.Array,
    config: EvaluateConfig,
) -> tuple[agent.Progress, PyTree]:
    """Play T chunks and record the first R episodes after every control step."""

    def control(
        progress: agent.Progress, action: jax.Array
    ) -> tuple[agent.Progress, PyTree]:
        after, _, _ = agent.play(environment, progress, action[:, None])
        return after, first(after.env, config.recorded)

    def chunk(
        progress: agent.Progress, key: jax.Array
    ) -> tuple[agent.Progress, PyTree]:
        _, actions = act(progress, key)
        executed = jnp.moveaxis(actions[:, : config.exec_horizon], 1, 0)
        return jax.lax.scan(control, progress, executed)

    progress, record = jax.lax.scan(
        chunk, progress, jax.random.split(key, config.chunks)
    )
    steps = config.chunks * config.exec_horizon  # none may be recorded: no -1
    return progress, jax.tree.map(lambda x: x.reshape(steps, *x.shape[2:]), record)


def _estimate(success: np.ndarray) -> dict[str, Any]:
    interval = wilson_interval(int(np.sum(success)), len(success))
    return {"success": float(np.mean(success)), "interval": list(interval)}


def _joined(outcomes: Sequence[Outcome], field: str) -> np.ndarray:
    return np.concatenate([getattr(outcome, field) for outcome in outcomes])
