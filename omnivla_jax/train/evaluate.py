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
from omnivla_jax.train import actor, loop, rng
from omnivla_jax.train.environment import Environment, first

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


class Start(NamedTuple):
    """Where episodes begin and what the policy is told."""

    task: Any  # int32 [N]
    key: Any  # typed keys [N]: of the initial state
    noise: Any  # typed keys [N]: of the policy's noise
    told: Any  # int32 [N]: the task whose instruction is heard


class EvalResult(NamedTuple):
    """What became of episodes, on the device or fetched from it."""

    success: Any  # bool [W], or [N] of all blocks
    diverged: Any  # bool [W] or [N]
    steps: Any  # float32 [W] or [N]: control steps until the end
    record: PyTree  # states of the first R episodes after every step, [T * E, R, ...]
    faults: dict[str, Any]  # int32 [B]: what the simulator could not do, by name


Evaluate = Callable[[PyTree, Normalizer, Start], EvalResult]


def eval_initial_states(
    seed: int,
    tasks: Sequence[int],
    config: EvaluateConfig,
    *,
    stream: str = "evaluation",
) -> Start:
    """The same initial states for every evaluation of a run; tasks take turns.

    Those of fewer episodes are the first of those of more. What is chosen by its
    success on one stream's states, such as the best checkpoint on those of
    "validation", is to be judged on another's.
    """
    number = jnp.arange(config.episodes)
    task = jnp.asarray(tasks, jnp.int32)[number % len(tasks)]
    of_episodes = jax.vmap(jax.random.fold_in, (None, 0))
    states = of_episodes(rng.named_key(seed, stream), number)
    noise = of_episodes(rng.named_key(seed, "noise"), number)
    return Start(task, states, noise, task)


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
    """Compiled `evaluate(params, normalizer, start) -> Outcome` of W episodes.

    The length is fixed: T chunks of E actions; episodes that end stay as they are.
    Raises ValueError if more are to be recorded than are played at once.
    """
    if config.recorded > config.width:
        raise ValueError(
            f"recorded={config.recorded} episodes, but {config.width} are played at "
            "once: record fewer, or raise block_size."
        )

    def evaluate(params: PyTree, normalizer: Normalizer, start: Start) -> EvalResult:
        chex.assert_shape([start.task, start.told], (config.width,))
        act = actor.make_deterministic_actor(
            params,
            normalizer,
            environment,
            start.told,
            config=policy_config,
            steps=config.steps,
        )
        env = environment.reset(start.task, start.key)
        progress = actor.start(environment, env, {"success": 1.0})
        progress, record = _episodes(environment, act, progress, start.noise, config)
        env = progress.env
        faults = environment.faults(env)
        return EvalResult(
            env.success, env.diverged, progress.tally.steps, record, faults
        )

    return compilation.jit(evaluate, fused=environment.fused)


def compiled(
    environment: Environment, policy_config: PolicyConfig, config: EvaluateConfig
) -> Evaluate:
    """`make_evaluate`, compiled before its first call."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    shape = (config.width,)
    task = jax.ShapeDtypeStruct(shape, jnp.int32)
    keys = jax.ShapeDtypeStruct(shape, key.dtype)
    start = Start(task, keys, keys, task)
    params = jax.eval_shape(functools.partial(policy.init, config=policy_config), key)
    normalizer = normalize.identity_normalizer(
        policy_config.robot_state_dim, policy_config.robot_action_dim
    )
    program = make_evaluate(environment, policy_config, config)
    return program.lower(params, normalizer, start).compile()


def run(
    evaluate: Evaluate,
    params: PyTree,
    normalizer: Normalizer,
    start: Start,
    *,
    config: EvaluateConfig,
    report: Callable[[int, float], Any] = lambda episodes, success: None,
) -> EvalResult:
    """All N episodes, a block of W at a time.

    Success, diverged, steps and faults are numpy [N]; the record is that of the first
    block. What the last block has too much is episodes played twice, and dropped.

    Args:
      evaluate: what `make_evaluate` made.
      params, normalizer: the policy.
      start: of N episodes.
      config: the sizes.
      report: called with (episodes finished since the last call, success so far).
    """
    # One device evaluates, wherever the policy was trained.
    params, normalizer = jax.device_put((params, normalizer), jax.local_devices()[0])
    outcomes: list[EvalResult] = []
    width, total, reported = config.width, config.episodes, 0
    for low in range(0, total, width):
        rows = np.arange(low, low + width) % total
        outcome = evaluate(params, normalizer, jax.tree.map(lambda x: x[rows], start))
        loop.wait(outcome)
        played = first(outcome._replace(record=None), total - low)
        record = outcome.record if low == 0 else None
        outcomes.append(jax.device_get(played)._replace(record=record))
        done = min(low + width, total)
        if done - reported >= config.batch_size or done == total:
            report(done - reported, float(np.mean(_joined(outcomes, "success"))))
            reported = done
    return EvalResult(
        success=_joined(outcomes, "success"),
        diverged=_joined(outcomes, "diverged"),
        steps=_joined(outcomes, "steps"),
        record=jax.tree.map(lambda x: x[:, :total], outcomes[0].record),
        faults={
            name: np.concatenate([outcome.faults[name] for outcome in outcomes])
            for name in outcomes[0].faults
        },
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


def failure_counts(outcome: EvalResult) -> dict[str, int]:
    """How many episodes diverged, and what the simulator could not do, by name."""
    counts = {name: int(count.sum()) for name, count in outcome.faults.items()}
    return {"diverged": int(outcome.diverged.sum())} | counts


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
    act: actor.Act,
    progress: actor.Progress,
    keys: jax.Array,
    config: EvaluateConfig,
) -> tuple[actor.Progress, PyTree]:
    """Play T chunks and record the first R episodes after every control step.

    The noise of chunk t of an episode comes from its key [W] and t.
    """

    def control(
        progress: actor.Progress, action: jax.Array
    ) -> tuple[actor.Progress, PyTree]:
        after, _, _ = actor.play(environment, progress, action[:, None])
        return after, first(after.env, config.recorded)

    def chunk(
        progress: actor.Progress, number: jax.Array
    ) -> tuple[actor.Progress, PyTree]:
        chunk_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        _, actions = act(progress, chunk_keys)
        executed = jnp.moveaxis(actions[:, : config.exec_horizon], 1, 0)
        return jax.lax.scan(control, progress, executed)

    progress, record = jax.lax.scan(chunk, progress, jnp.arange(config.chunks))
    steps = config.chunks * config.exec_horizon  # none may be recorded: no -1
    return progress, jax.tree.map(lambda x: x.reshape(steps, *x.shape[2:]), record)


def _estimate(success: np.ndarray) -> dict[str, Any]:
    interval = wilson_interval(int(np.sum(success)), len(success))
    return {"success": float(np.mean(success)), "interval": list(interval)}


def _joined(outcomes: Sequence[EvalResult], field: str) -> np.ndarray:
    return np.concatenate([getattr(outcome, field) for outcome in outcomes])
