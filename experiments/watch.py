"""Writes episodes as one HTML page to look at: in 3-D, offline, in any browser.

    python -m experiments.watch --checkpoint=runs/quickstart [--stage=online]
    python -m experiments.watch --expert=libero_spatial
    python -m experiments.watch --demonstrations=FOLDER
        [--config.data.cameras=NAME,NAME] [--config.data.image_convention=NAME]
        [--out=episodes.html] [--episodes=6] [--tasks=0,3] [--seed=0]

A policy plays the first episodes of its run's evaluation; the run is only read. The
scripted expert plays a suite, a BDDL file or a folder of them. Of a dataset the robot
and its pictures are shown, as it holds no poses of objects; it is read as training
would, with all of --config.data that says how.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from absl import flags, logging

from experiments.configs.checks import check_tasks
from experiments.configs.flag_values import task_rows
from experiments.configs.schema import from_config
from experiments.pipeline import policy_checkpoint, watched_dataset, watched_episodes
from experiments.pipeline.run_context import make_scene
from experiments.reporting import errors, progress
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.train import environment, evaluate
from omnivla_jax.train.state import eval_params
from omnivla_jax.world import expert

EXPERT_PICTURE_SIZE = 128  # pixels a side
EXPERT_PICTURES_EVERY = 8  # control steps

ROOT = Path(__file__).parents[1]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "quickstart.py"))
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of a run, a stage or one checkpoint."
)
_STAGE = flags.DEFINE_string(
    "stage", None, "Of a run: sft, online, online_best; else the last."
)
_EXPERT = flags.DEFINE_string(
    "expert", None, "A suite, a BDDL file or a folder, played by the expert."
)
_DEMONSTRATIONS = flags.DEFINE_string("demonstrations", None, "A dataset to look at.")
_OUT = flags.DEFINE_string("out", "episodes.html", "The page.")
_EPISODES = flags.DEFINE_integer("episodes", 6, "How many.", lower_bound=1)
_TASKS = flags.DEFINE_list("tasks", None, "Rows of the suite; else the run's, or all.")
_ENGINE = flags.DEFINE_enum("engine", None, ["auto", *ENGINES], "Of physics.")
_SEED = flags.DEFINE_integer("seed", None, "Of initial states; else the run's, or 0.")
_MAX_STEPS = flags.DEFINE_integer("max_steps", 400, "Of the expert.", lower_bound=1)


def main(argv: list[str]) -> None:
    """Play or read episodes, write the page."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    sources = (_CHECKPOINT, _EXPERT, _DEMONSTRATIONS)
    if sum(flag.value is not None for flag in sources) != 1:
        raise flags.Error("give one of --checkpoint, --expert and --demonstrations")
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    out = Path(_OUT.value).expanduser()
    if _DEMONSTRATIONS.value is not None:
        dataset = Path(_DEMONSTRATIONS.value).expanduser()
        options = from_config(_CONFIG.value).data.options
        watched_dataset.write(out, dataset, _EPISODES.value, options=options)
    elif _EXPERT.value is not None:
        _write_expert(out, _EXPERT.value)
    elif _CHECKPOINT.value is not None:
        _write_policy(out, Path(_CHECKPOINT.value))
    progress.note("Written", f"{out} ({out.stat().st_size / 1e6:.1f} MB): open it")


def _tasks() -> tuple[int, ...] | None:
    """The rows that --tasks names."""
    if _TASKS.value is None:
        return None
    return task_rows(_TASKS.value)


def _write_policy(out: Path, checkpoint: Path) -> None:
    """Play the first episodes of the evaluation of a run."""
    run, _, _ = policy_checkpoint.locate(checkpoint, _STAGE.value)
    restored = policy_checkpoint.restore(checkpoint, _STAGE.value)
    config = dataclasses.replace(
        restored.config,
        engine=_ENGINE.value or restored.config.engine,
        tasks=_tasks() or restored.config.tasks,
        seed=restored.config.seed if _SEED.value is None else _SEED.value,
    )
    check_tasks(config.task_table, config.tasks, example="--tasks=0")
    settings = dataclasses.replace(
        config.evaluation, episodes=_EPISODES.value, recorded=_EPISODES.value
    )
    scene = make_scene(config)
    simulator = environment.simulator(scene, config.policy, size=config.image_size)
    starts = evaluate.eval_initial_states(config.seed, config.tasks, settings)
    with progress.phase("Episodes", total=settings.episodes, unit="episode") as bar:
        with bar.compiling():
            program = evaluate.compiled(simulator, config.policy, settings)
        outcome = evaluate.run(
            program,
            eval_params(restored.state),
            restored.state.normalizer,
            starts,
            config=settings,
            report=lambda count, success: bar.advance(count, success=success),
        )
        with bar.compiling("drawing"):
            watched_episodes.write(
                out,
                scene,
                outcome.frames,
                [scene.tasks[row].instruction for row in np.asarray(starts.task)],
                every=settings.exec_horizon,
                size=config.image_size,
                note="The first episodes of its evaluation, played by the policy of "
                f"{run.name} ({restored.stage}, update "
                f"{restored.update}).",
            )


def _write_expert(out: Path, suite: str) -> None:
    """Let the scripted expert play; the tasks of the suite take turns."""
    scene = scenes.make(suite, tasks=_tasks(), engine=_ENGINE.value or "auto")
    rows = [scene.task_ids[n % len(scene.task_ids)] for n in range(_EPISODES.value)]
    expert.require_skills(scene.suite, rows)
    with progress.phase("Expert", total=len(rows), unit="episode") as bar:
        with bar.compiling("playing"):
            states = watched_episodes.play_expert(
                scene,
                rows,
                jax.random.key(_SEED.value or 0),
                max_steps=min(_MAX_STEPS.value, scene.suite.horizon),
            )
        bar.advance(len(rows), success=float(states.success[-1].mean()))
        with bar.compiling("drawing"):
            watched_episodes.write(
                out,
                scene,
                states,
                [scene.tasks[row].instruction for row in rows],
                every=EXPERT_PICTURES_EVERY,
                size=EXPERT_PICTURE_SIZE,
                chunked=False,
                note="Played by the scripted expert, which reads the state itself.",
            )


if __name__ == "__main__":
    errors.run(main)
