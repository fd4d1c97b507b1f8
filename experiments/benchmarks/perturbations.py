"""Cost of evaluating under perturbations, beside the plain evaluation.

Run: `python -m experiments.benchmarks.perturbations --episodes=48 --chunks=4`. Prints
one JSON object. Both programs have the same policy (`tiny`, random parameters), the
same tasks and width, and are timed in turns; the perturbed one plays all kinds equally
often at the largest severity. CPU times are sums over cores, which vary less on a
machine that does other work, too.
"""

import time
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp
from absl import app, flags

from experiments.benchmarks.lib.flags import print_report
from experiments.pipeline import perturbed_evaluation
from omnivla_jax.policy import normalize
from omnivla_jax.policy.config import PolicyConfig, preset
from omnivla_jax.sim import scene as scenes
from omnivla_jax.train import environment, evaluate, perturbed_environment, rng, sft
from omnivla_jax.train.evaluate import EvaluateConfig
from omnivla_jax.world.perturbations import layout

_SUITE = flags.DEFINE_string("suite", "libero_goal", "Suite of the scene.")
_EPISODES = flags.DEFINE_integer("episodes", 48, "Episodes of one run.")
_CHUNKS = flags.DEFINE_integer("chunks", 4, "Chunks of 8 actions of an episode.")
_TASK = flags.DEFINE_integer("task", 8, "Row of the suite.")
_NAMES = flags.DEFINE_list("perturb", ["all"], "Of `kinds.rows`.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed runs, of which the fastest counts.")


def main(argv: Sequence[str]) -> None:
    """Time both evaluations."""
    del argv
    plain_scene = scenes.make(_SUITE.value)
    scene = scenes.make(_SUITE.value, extras=tuple(layout.DISTRACTORS))
    policy = perturbed_environment.with_room(preset("tiny"), scene)
    size = policy.vision.image_size
    config = EvaluateConfig(
        _EPISODES.value, _EPISODES.value, _CHUNKS.value, exec_horizon=8, recorded=0
    )
    tasks = (_TASK.value,)  # a task alone: the next kind in every episode
    starts = evaluate.eval_initial_states(0, tasks, config)
    choice = perturbed_evaluation.Choice(tuple(_NAMES.value), (1.0,), "all", None)
    changed, labels = perturbed_evaluation.plan(choice, scene, starts, tasks)
    same_tasks = changed._replace(key=starts.key)
    plain = environment.simulator(plain_scene, policy, size=size)
    perturbed = perturbed_environment.simulator(scene, policy, size=size)
    runs = {
        "plain": _runner(plain, policy, config, same_tasks),
        "perturbed": _runner(perturbed, policy, config, changed),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(_ROUNDS.value):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            seconds[name].append(
                (time.perf_counter() - wall, time.process_time() - cpu)
            )
    fastest = {
        name: [min(part) for part in zip(*times)] for name, times in seconds.items()
    }
    (wall, cpu), (plain_wall, plain_cpu) = fastest["perturbed"], fastest["plain"]
    print_report(
        "perturbations",
        scene.engine,
        episodes=_EPISODES.value,
        control_steps=8 * _CHUNKS.value,
        kinds=len({label.kind for label in labels}),
        image_size=size,
        plain_cpu_seconds=plain_cpu,
        perturbed_cpu_seconds=cpu,
        cpu_ratio=cpu / plain_cpu,
        plain_seconds=plain_wall,
        perturbed_seconds=wall,
        ratio=wall / plain_wall,
        cpu_seconds_per_variant=cpu / _EPISODES.value,
    )


def _runner(
    simulator: environment.Environment,
    policy: PolicyConfig,
    config: EvaluateConfig,
    starts: evaluate.EvalBatch,
) -> Callable[[], Any]:
    """A function that plays all episodes with a compiled program."""
    params = sft.fresh_params(rng.named_key(0, "init"), policy)
    normalizer = normalize.identity_normalizer(
        policy.robot_proprio_dim, policy.robot_action_dim
    )
    block = jax.tree.map(lambda x: x[jnp.arange(config.width)], starts)
    program = evaluate.make_evaluate(simulator, policy, config)
    compiled = program.lower(params, normalizer, block).compile()
    return lambda: evaluate.run(compiled, params, normalizer, starts, config=config)


if __name__ == "__main__":
    app.run(main)
