"""Success on held-out initial states, with its confidence interval, task by task.

What happens in episode number e depends on the policy, the seed and e alone, not on how
many episodes there are nor on how they are divided into batches: its initial state and
its noise come from a key of its own, and it is played by a program of a fixed width W,
always in the same row. A program of another width rounds differently, which contacts
soon make visible. So the same episodes are the same bit for bit on one machine, backend
and version of JAX, where W and R are the same.

Axes: W episodes of one compiled call, N episodes in all, T chunks, E executed actions
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
from omnivla_jax.train import loop, rng, sharding
from omnivla_jax.train.acting import ActingConfig, Actor
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.environment import Environment

Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile

# W by backend. On a CPU narrow blocks are as fast as wide ones and waste less on a last
# block that is not full.
BLOCK_SIZES = {"cpu": 24}
ACCELERATOR_BLOCK_SIZE = 64


@dataclass(frozen=True)
class EvaluateConfig:
    """How many episodes, how long, and how the policy acts in them."""

    episodes: int  # N
    batch_size: int  # episodes between two reports; changes no result
    chunks: int  # T
    exec_horizon: int  # E
    steps: int = 10  # of the ODE
    recorded: int = 4  # R, the first episodes, at most W; 0: none
    # W: changes the last bits of results, the memory and the speed. None: by backend
    block_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("episodes", "batch_size", "block_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1.")

    @property
    def width(self) -> int:
        """W; asks JAX for its backend where `block_size` leaves it open."""
        if self.block_size is not None:
            return self.block_size
        return BLOCK_SIZES.get(jax.default_backend(), ACCELERATOR_BLOCK_SIZE)


class EvalBatch(NamedTuple):
    """Initial states and instructions of episodes."""

    task: Any  # int32 [N]
    key: Any  # typed keys [N]: of the initial state
    noise_key: Any  # typed keys [N]: of the policy's noise
    instruction_id: Any  # int32 [N]: the task whose instruction the policy reads


class EvalResult(NamedTuple):
    """The outcome of episodes, on the device or fetched from it."""

    success: Any  # bool [W], or [N] of all blocks
    diverged: Any  # bool [W] or [N]
    steps: Any  # float32 [W] or [N]: control steps until the end
    # states of the first R episodes, at first and after every step, [1 + T * E, R, ...]
    frames: PyTree
    diagnostics: dict[str, Any]  # int32 [B]: what the simulator could not do, by name
    # float32 [W, T, F] or [N, T, F]: of every chunk, where `acting` keeps them
    features: Any = None


Evaluate = Callable[[PyTree, Normalizer, EvalBatch], EvalResult]


def eval_initial_states(
    seed: int,
    tasks: Sequence[int],
    config: EvaluateConfig,
    *,
    stream: str = "evaluation",
) -> EvalBatch:
    """The same initial states for every evaluation of a run; tasks take turns.

    Those of fewer episodes are the first of those of more. What is chosen by its
    success on one stream's states, such as the best checkpoint on those of
    "validation", is to be judged on another's.

    Args:
      seed: of the run.
      tasks: rows of the suite.
      config: the number of episodes N.
      stream: the random stream of the states.

    Returns:
      N episodes to play.
    """
    number = jnp.arange(config.episodes)
    task = jnp.asarray(tasks, jnp.int32)[number % len(tasks)]
    of_episodes = jax.vmap(jax.random.fold_in, (None, 0))
    states = of_episodes(rng.named_key(seed, stream), number)
    noise = of_episodes(rng.named_key(seed, "noise"), number)
    return EvalBatch(task, states, noise, task)


def swap_instructions(batch: EvalBatch, tasks: Sequence[int]) -> EvalBatch:
    """Give every episode the instruction of the next task in `tasks`; goals stay.

    Raises:
      ValueError: there is no other task, or an episode is of none of `tasks`.
    """
    if len(set(tasks)) < 2:
        raise ValueError(f"Swapping instructions needs two tasks, but got {tasks}.")
    following = dict(zip(tasks, [*tasks[1:], tasks[0]]))
    unknown = indices.unknown(batch.task, list(tasks), name="task number")
    if unknown:
        raise ValueError(
            f"Episodes of tasks {unknown}, which are none of {list(tasks)}."
        )
    swapped = [following[int(task)] for task in np.asarray(batch.task)]
    return batch._replace(instruction_id=jnp.asarray(swapped, jnp.int32))


def make_evaluate(
    environment: Environment,
    policy_config: PolicyConfig,
    config: EvaluateConfig,
    acting: ActingConfig = ActingConfig(),
) -> jax.stages.Wrapped:
    """Compiled `evaluate(params, normalizer, batch) -> EvalResult` of W episodes.

    Their length is fixed: T chunks of E actions; ended ones stay as they are.

    Args:
      environment, policy_config: the simulator and the policy.
      config: numbers of episodes, chunks and actions.
      acting: what is done at test time beside sampling.

    Returns:
      The function, to be called or lowered.

    Raises:
      ValueError: too many episodes are to be recorded, or chunks do not fit `acting`.
    """
    acting.check(policy_config, config.exec_horizon)
    if config.recorded > config.width:
        raise ValueError(
            f"recorded={config.recorded} episodes, but {config.width} are played at "
            "once: record fewer, or raise block_size."
        )

    def evaluate(
        params: PyTree, normalizer: Normalizer, batch: EvalBatch
    ) -> EvalResult:
        chex.assert_shape([batch.task, batch.instruction_id], (config.width,))
        agent = Agent(policy_config, environment.observe, normalizer)
        actor = Actor(environment, agent, config.exec_horizon, config.steps, acting)
        env_state = environment.reset(batch.task, batch.key)
        rollout, frames, features = actor.roll_out(
            params,
            env_state,
            noise_key=batch.noise_key,
            instruction_id=batch.instruction_id,
            chunks=config.chunks,
            recorded=config.recorded,
        )
        steps = config.chunks * config.exec_horizon  # none may be recorded: no -1
        return EvalResult(
            rollout.env_state.success,
            rollout.env_state.diverged,
            rollout.sums.steps,
            jax.tree.map(
                lambda first, x: jnp.concatenate(
                    [first[None, : config.recorded], x.reshape(steps, *x.shape[2:])]
                ),
                env_state,
                frames,
            ),
            environment.diagnostics(rollout.env_state),
            None if features is None else jnp.swapaxes(features, 0, 1),
        )

    return compilation.jit(evaluate, fused=environment.supports_fusion)


def compiled(
    environment: Environment, policy_config: PolicyConfig, config: EvaluateConfig
) -> Evaluate:
    """`make_evaluate`, compiled before its first call.

    Args:
      environment: the simulator.
      policy_config: of the policy.
      config: numbers of episodes, chunks and actions.

    Returns:
      The compiled function.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    task = jax.ShapeDtypeStruct((config.width,), jnp.int32)
    keys = jax.ShapeDtypeStruct((config.width,), key.dtype)
    batch = EvalBatch(task, keys, keys, task)
    params = jax.eval_shape(functools.partial(policy.init, config=policy_config), key)
    normalizer = normalize.identity_normalizer(
        policy_config.robot_proprio_dim, policy_config.robot_action_dim
    )
    program = make_evaluate(environment, policy_config, config)
    return program.lower(params, normalizer, batch).compile()


def run(
    evaluate: Evaluate,
    params: PyTree,
    normalizer: Normalizer,
    batch: EvalBatch,
    *,
    config: EvaluateConfig,
    report: Callable[[int, float], Any] = lambda episodes, success: None,
) -> EvalResult:
    """All N episodes, a block of W at a time; processes take turns at the blocks.

    The last block is filled up with episodes that were played already; their results
    are dropped. With several processes it is a collective.

    Args:
      evaluate: the program of `make_evaluate`.
      params, normalizer: the policy.
      batch: N episodes.
      config: the sizes.
      report: called with (episodes finished since the last call, success so far).

    Returns:
      Success, diverged, steps and diagnostics as numpy [N]; the frames are those of the
      first block, and None in the processes that have not played it.
    """
    # One device of each process evaluates, wherever the policy was trained.
    params, normalizer = sharding.to_local((params, normalizer))
    processes, process = jax.process_count(), jax.process_index()
    results: list[EvalResult] = []
    width, total, reported = config.width, config.episodes, 0
    for first in range(0, total, width * processes):
        low = first + width * process  # beyond the last block: one of the others'
        block = jax.tree.map(lambda x: x[np.arange(low, low + width) % total], batch)
        result = evaluate(params, normalizer, block)
        loop.block_until_ready(result)
        counted = jax.device_get(result._replace(frames=None))
        results.append(counted._replace(frames=result.frames if low == 0 else None))
        done = min(first + width * processes, total)
        if done - reported >= config.batch_size or done == total:
            success = np.concatenate([result.success for result in results])
            report(done - reported, float(np.mean(success[:total])))
            reported = done
    frames = jax.tree.map(lambda x: x[:, :total], results[0].frames)
    outcomes = [result._replace(frames=None) for result in results]
    blocks = sharding.gather_turns(jax.tree.map(lambda *x: np.stack(x), *outcomes))
    joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:total], blocks)
    return joined._replace(frames=frames)


def summarise(
    success: np.ndarray, task: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Success with its 95 % interval, in all and by task.

    Args:
      success: bool [N].
      task: int [N], rows of `names`.
      names: what each task is called in the result.

    Returns:
      Rates, intervals and numbers of episodes, ready for JSON.

    Raises:
      ValueError: a task has no name.
    """
    unknown = indices.unknown(task, range(len(names)), name="task number")
    if unknown:
        raise ValueError(f"Tasks {unknown} have no name: there are {len(names)}.")
    per_task = {
        names[row]: {
            **_estimate(success[task == row]),
            "episodes": int(np.sum(task == row)),
        }
        for row in dict.fromkeys(int(row) for row in task)
    }
    return _estimate(success) | {"per_task": per_task}


def failure_counts(result: EvalResult) -> dict[str, int]:
    """How many episodes diverged, and what the simulator could not do, by name."""
    counts = {name: int(count.sum()) for name, count in result.diagnostics.items()}
    return {"diverged": int(result.diverged.sum())} | counts


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


def _estimate(success: np.ndarray) -> dict[str, Any]:
    interval = wilson_interval(int(np.sum(success)), len(success))
    return {"success": float(np.mean(success)), "interval": list(interval)}
