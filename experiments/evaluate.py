"""Evaluates a policy: success by task, as JSON and as a table.

    python -m experiments.evaluate --checkpoint=runs/quickstart [--stage=online]
        [--episodes=24] [--batch_size=12] [--noverdicts]
        [--suite=libero_object|FILE.bddl|FOLDER] [--tasks=0,3] [--max_steps=280]
        [--initial_states=sampled|libero|FILE|FOLDER]
        [--videos=4] [--out=DIR]
        [--perturb=all|camera,light.shadow|FILE [--severity=0.5,1] [--split=held_out]]
        [--selector=count|value|clone --candidates=4] [--exec_horizon=4 --delay=2
        [--chunking=guided]]
    python -m experiments.evaluate --policy=pi05_libero --weights=FOLDER
        --suite=libero_spatial [--tokenizer=FILE] [--norm_stats=FILE] [...]

--checkpoint is the folder of a run, of a training stage, or of one checkpoint; the run
is only read. --policy plays published weights as they were trained, on 50 episodes of
each task: openpi's folder, its converter's or (--policy=lerobot) LeRobot's, and
PaliGemma's tokenizer.

Standard output is one JSON object in one line, the table goes to standard error and
with the JSON into --out, beside failures.mp4 of the first failed episodes. The outcome
of an episode depends on neither --episodes nor --batch_size: the first 24 of 48 are the
24, and without other flags the run's own evaluation is repeated.

--perturb evaluates under LIBERO-Plus' seven dimensions of perturbation, or the variants
that a file names: its task_classification.json, or a text file with a name in each
line. Success is then told by dimension, also in perturbations.html, and --videos counts
failures of each.
"""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags, logging

from experiments.configs import acting_flags, published_flags
from experiments.configs.checks import check_tasks
from experiments.configs.flag_values import task_rows
from experiments.configs.schema import ExperimentConfig
from experiments.pipeline import (
    evaluated_policy,
    evaluation_episodes,
    initial_states,
    perturbed_evaluation,
    selector_fitting,
)
from experiments.pipeline.evaluated_policy import EvaluatedPolicy
from experiments.pipeline.run_context import make_scene, task_names
from experiments.reporting import (
    errors,
    evaluation_files,
    perturbation_page,
)
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import paths
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.libero import libero_plus
from omnivla_jax.sim.state import Scene
from omnivla_jax.train import evaluate, perturbed_environment
from omnivla_jax.train.acting import ActingConfig
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.evaluate import EvalBatch, EvaluateConfig
from omnivla_jax.world.perturbations import kinds
from omnivla_jax.world.perturbations.layout import DISTRACTORS

SAMPLED = "sampled"

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of a run, a stage or one checkpoint."
)
_STAGE = flags.DEFINE_string(
    "stage", None, "Of a run: sft, online, online_best; else the last."
)
_SUITE = flags.DEFINE_string(
    "suite", None, "A suite, a BDDL file or a folder of them; else the run's."
)
_TASKS = flags.DEFINE_list("tasks", None, "Rows of the suite; else the run's, or all.")
_PROMPT = flags.DEFINE_enum(
    "prompt", None, list(libero_plus.PROMPTS), "Instructions of task files."
)
_HORIZON = flags.DEFINE_integer("horizon", None, "Time limit of files, control steps.")
_SKIP = flags.DEFINE_boolean("skip_unknown", None, "Leave out files that cannot load.")
_CATEGORIES = flags.DEFINE_string("categories", None, "JSON file of more categories.")
_ENGINE = flags.DEFINE_enum("engine", None, ["auto", *ENGINES], "Of physics.")
_STATES = flags.DEFINE_string(
    "initial_states", SAMPLED, "sampled, libero, or recorded ones: a file or a folder."
)
_EPISODES = flags.DEFINE_integer(
    "episodes", None, "How many; else as in the run, or every recorded state once."
)
_MAX_STEPS = flags.DEFINE_integer("max_steps", None, "Control steps of an episode.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Between two reports.")
_SEED = flags.DEFINE_integer(
    "seed", None, "Of initial states and noise; else the run's."
)
_VERDICTS = flags.DEFINE_boolean("verdicts", True, "List the outcome of every episode.")
_VIDEOS = flags.DEFINE_integer("videos", 0, "Failed episodes to show.", lower_bound=0)
_PERTURB = flags.DEFINE_list(
    "perturb", None, "all, dimensions, kinds such as light.shadow, or a file of names."
)
_SEVERITY = flags.DEFINE_list("severity", ["1"], "From 0 to 1, which take turns.")
_SPLIT = flags.DEFINE_enum("split", "all", list(kinds.SPLITS), "Of --perturb's ranges.")
_OUT = flags.DEFINE_string("out", None, "Folder for evaluation.json, .md and videos.")
_CACHE = flags.DEFINE_string(
    "compilation_cache", "", "Of compiled programs; empty: as experiments.train."
)
flags.adopt_module_key_flags(published_flags)  # for --help
flags.adopt_module_key_flags(acting_flags)


def main(argv: list[str]) -> None:
    """Restore a policy, run episodes, print JSON."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    if _VIDEOS.value and _OUT.value is None:
        raise flags.Error("--videos needs --out=DIR, where they are written")
    logging.set_verbosity(logging.ERROR)
    out = None if _OUT.value is None else Path(_OUT.value).expanduser()
    if out is not None and (out / evaluation_files.JSON).exists():
        raise flags.Error(f"--out={out} holds an evaluation: choose another folder")
    compilation.enable_cache(paths.parse(_CACHE.value) if _CACHE.value else None)
    chosen = _load_policy()
    summary = run(_with_flags(chosen.config), chosen, out)
    if out is not None:
        evaluation_files.write(out, summary)
    print(evaluation_files.success_table(summary), file=sys.stderr)
    print(json.dumps(summary))


def run(
    config: ExperimentConfig,
    chosen: EvaluatedPolicy,
    out: Path | None,
) -> dict[str, Any]:
    """Run the episodes and write the videos.

    Args:
      config: of the run, with what the flags change.
      chosen: the policy.
      out: folder of the videos.

    Returns:
      What is printed as JSON.
    """
    choice, recorded = _perturb_choice(), _STATES.value != SAMPLED
    scene = make_scene(config, extras=DISTRACTORS if choice else ())
    if choice is not None:
        policy = perturbed_environment.with_room(config.policy, scene)
        config = dataclasses.replace(config, policy=policy)
    settings, starts = _starts(config, scene, choice)
    sizes: dict[str, Any] = {"size": config.image_size, "recorded": recorded}
    simulator = perturbed_evaluation.make_environment(
        scene, config.policy, perturbed=choice is not None, **sizes
    )
    groups = ["failures"] * settings.episodes
    if choice is not None:
        starts, labels = perturbed_evaluation.plan(choice, scene, starts, config.tasks)
        groups = [label.dimension for label in labels]
    chosen, acting = _at_test_time(chosen._replace(config=config), simulator, settings)
    program = evaluate.make_evaluate(simulator, config.policy, settings, acting)
    outcome, failures = evaluation_episodes.run_episodes(
        program, chosen, starts, settings, groups, shown=_VIDEOS.value
    )
    videos = evaluation_episodes.write_videos(config, scene, starts, failures, out)
    summary = evaluate.summarise(
        outcome.success, np.asarray(starts.task), task_names(scene)
    )
    summary |= evaluate.failure_counts(outcome) | {
        "episodes": settings.episodes,
        **chosen.origin,
        "suite": config.suite,
        "initial_states": _STATES.value,
        "seed": config.seed,
        **({} if acting == ActingConfig() else {"acting": dataclasses.asdict(acting)}),
    }
    if _VERDICTS.value:
        summary["verdicts"] = outcome.success.astype(int).tolist()
        summary["steps"] = outcome.steps.astype(int).tolist()
    if choice is not None:
        summary |= perturbed_evaluation.summarise(outcome.success, labels)
        summary["perturb"] = {"names": _PERTURB.value, "split": choice.split}
        if _VERDICTS.value:
            summary["variants"] = [label._asdict() for label in labels]
        if out is not None:
            title = {"title": f"{config.suite}, {settings.episodes} episodes"}
            perturbation_page.write(out, summary | title, videos)
    return summary


def _at_test_time(
    chosen: EvaluatedPolicy, simulator: Environment, settings: EvaluateConfig
) -> tuple[EvaluatedPolicy, ActingConfig]:
    """The policy with the networks that the flags ask for, and how it acts."""
    acting = acting_flags.acting(chosen.config.rl.reward_weights)
    others = _PERTURB.value is not None or _STATES.value != SAMPLED
    if others and acting_flags.SELECTOR.value == "value":
        raise flags.Error(
            "--selector=value is fitted to episodes of sampled states: leave out "
            "--perturb and --initial_states"
        )
    other = acting_flags.COMPOSE.value
    chosen = selector_fitting.with_network(
        evaluated_policy.composed(
            chosen, None if other is None else paths.parse(other)
        ),
        acting_flags.SELECTOR.value,
        simulator,
        settings,
        episodes=acting_flags.SELECTION_EPISODES.value,
    )
    return chosen, acting


def _starts(
    config: ExperimentConfig,
    scene: Scene,
    choice: perturbed_evaluation.Choice | None,
) -> tuple[EvaluateConfig, EvalBatch]:
    """The sizes and the episodes, from sampled or recorded states."""
    settings, tasks = config.evaluation, config.tasks
    by_name = choice is not None and choice.variants is not None
    pairs: list[tuple[int, int]] = []
    if by_name and _STATES.value == SAMPLED and _EPISODES.value is None:
        listed = perturbed_evaluation.official_variants(choice, scene, tasks)
        settings = dataclasses.replace(settings, episodes=len(listed))
    if _STATES.value != SAMPLED:
        table = {row: scene.tasks[row] for row in tasks}
        states = initial_states.read(_STATES.value, config.suite, table)
        if by_name:
            pairs = perturbed_evaluation.first_states(choice, scene, tasks)
            pairs = pairs[: _EPISODES.value]
        else:
            pairs = initial_states.take_turns(states, _EPISODES.value)
        settings = dataclasses.replace(settings, episodes=len(pairs))
    if _VIDEOS.value:
        settings = dataclasses.replace(settings, recorded=settings.width)
    starts = evaluate.eval_initial_states(config.seed, tasks, settings)
    if pairs:
        rows = np.asarray([task for task, _ in pairs], np.int32)
        key = initial_states.to_scene(scene, states, pairs)
        starts = starts._replace(task=rows, instruction_id=rows, key=key)
    return settings, starts


def _perturb_choice() -> perturbed_evaluation.Choice | None:
    """What --perturb asks for; None: nothing.

    Raises:
      ValueError: it names unknown perturbations, or some that cannot be played.
    """
    if _PERTURB.value is None:
        return None
    file = Path(_PERTURB.value[0]).expanduser() if len(_PERTURB.value) == 1 else None
    is_file = file is not None and file.is_file()
    choice = perturbed_evaluation.Choice(
        names=() if is_file else tuple(_PERTURB.value),
        severities=tuple(map(float, _SEVERITY.value)),
        split=_SPLIT.value,
        variants=file if is_file else None,
    )
    choice.check(recorded=_STATES.value != SAMPLED)
    return choice


def _load_policy() -> EvaluatedPolicy:
    """What is evaluated, and the settings that it comes with."""
    checkpoint = _CHECKPOINT.value
    published_flags.check(checkpoint)
    if checkpoint is not None:
        return evaluated_policy.from_checkpoint(paths.parse(checkpoint), _STAGE.value)
    if _SUITE.value is None:
        raise flags.Error("--policy needs --suite=NAME")
    return evaluated_policy.from_weights(
        published_flags.load,
        suite=_SUITE.value,
        task_files=_task_files(),
        origin={
            "policy": published_flags.POLICY.value,
            "weights": published_flags.WEIGHTS.value,
        },
    )


def _task_files() -> dict[str, Any]:
    """The options of the suite that the command line gives."""
    given = {
        "prompt": _PROMPT.value,
        "horizon": _HORIZON.value,
        "skip_unknown": _SKIP.value,
        "categories": _CATEGORIES.value,
    }
    return {name: value for name, value in given.items() if value is not None}


def _with_flags(config: ExperimentConfig) -> ExperimentConfig:
    """A config with the suite, tasks and lengths of the command line.

    Raises:
      ValueError: unknown tasks, or episodes longer than the suite's time limit.
    """
    config = dataclasses.replace(
        config,
        suite=_SUITE.value or config.suite,
        task_files={**config.task_files, **_task_files()},
        engine=_ENGINE.value or config.engine,
        seed=config.seed if _SEED.value is None else _SEED.value,
    )
    if not config.simulated:
        raise flags.Error("that policy has no simulator of its own: give --suite=NAME")
    suite = config.task_table
    if _TASKS.value is not None:
        tasks = task_rows(_TASKS.value)
    elif _SUITE.value is None:
        tasks = config.tasks
    else:
        tasks = tuple(range(len(suite.tasks)))
    check_tasks(suite, tasks, example="--tasks=0")
    settings = config.evaluation
    sizes: dict[str, Any] = {
        "episodes": _EPISODES.value,
        "batch_size": _BATCH_SIZE.value,
    }
    executed = acting_flags.EXEC_HORIZON.value or settings.exec_horizon
    if executed != settings.exec_horizon or _MAX_STEPS.value is not None:
        limit = _MAX_STEPS.value or settings.chunks * settings.exec_horizon
        sizes |= {"exec_horizon": executed, "chunks": math.ceil(limit / executed)}
    sizes = {name: value for name, value in sizes.items() if value is not None}
    settings = dataclasses.replace(settings, **sizes)
    num_steps = settings.chunks * settings.exec_horizon
    if num_steps > suite.horizon:
        raise ValueError(
            f"Episodes of {num_steps} control steps exceed the suite's {suite.horizon}:"
            " give fewer --max_steps, or a larger --horizon."
        )
    return dataclasses.replace(config, tasks=tasks, evaluation=settings)


if __name__ == "__main__":
    errors.run(main)
