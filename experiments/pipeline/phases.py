"""The phases of a run, each resumable, in order.

    spatial -> geometry -> demonstrations -> sft -> before -> online -> after
    -> swapped instructions -> time split -> report

A run has the training stages that its config names and the phases around them; without
a simulator nothing is evaluated. The result of a finished phase lies in the workdir,
and the phase is skipped on resuming; training stages also continue in the middle, from
their last checkpoint.
"""

from typing import Any, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.configs.schema import ExperimentConfig
from experiments.pipeline import (
    episode_video,
    geometry_evaluation,
    results,
    training,
    training_stage,
    watched_episodes,
)
from experiments.pipeline.demonstrations import demonstrations
from experiments.pipeline.run_context import RunContext, make_context, task_names
from experiments.pipeline.workdir import Workdir
from experiments.reporting import progress
from omnivla_jax.core.types import PyTree
from omnivla_jax.train import evaluate, rng
from omnivla_jax.train.online import profile
from omnivla_jax.train.state import TrainState, eval_params

ONE_INSTRUCTION = "there is only one instruction"
EVALUATIONS = {
    "before": "Before",
    "half": "Half way",
    "after": "After",
    "swapped_instructions": "Swapped words",
}


def run(
    config: ExperimentConfig, workdir: Workdir, mesh: Mesh | None
) -> dict[str, Any]:
    """Run every phase that is not finished.

    Args:
      config: of the run.
      workdir: its folder.
      mesh: devices that training is sharded over; None: one device.

    Returns:
      The content of results.json.
    """
    context = make_context(config, workdir, mesh)
    episodes = demonstrations(context) if "sft" in config.stages else list
    state = training.restore_initial_state(context)
    for name in config.stages:
        if name == "online" and state is not None:
            run_evaluation(context, "before", state)
        stage = training.STAGES[name](context, state, episodes)
        state = training_stage.run(context, stage)
        if name == "spatial":
            geometry_evaluation.run(context, state)
    assert state is not None  # a config without stages is refused
    # Stage I alone trains no actions.
    if config.simulated and config.stages != ("spatial",):
        run_evaluation(context, "after", state)
        run_evaluation(context, "swapped_instructions", state)
    if "online" in config.stages and config.profile_update:
        run_time_split(context, state)
    if jax.process_index() > 0:  # has no videos, and its report would not be read
        return results.gather(config, workdir)
    return results.write(config, workdir)


def run_evaluation(context: RunContext, phase: str, state: TrainState) -> None:
    """Measure success on the held-out initial states; record videos of the first.

    Args:
      context: of the run.
      phase: a key of `EVALUATIONS`; under "swapped_instructions" every episode gets the
        instruction of another task, and goals stay.
      state: the policy.
    """
    config, title = context.config.evaluation, EVALUATIONS[phase]
    if context.workdir.result(phase) is not None:
        return progress.note(title, "evaluated already")
    tasks = context.config.tasks
    instructions = {row: context.scene.tasks[row].instruction for row in tasks}
    starts = evaluate.eval_initial_states(context.config.seed, tasks, config)
    if phase == "swapped_instructions":
        if len(set(instructions.values())) < 2:
            context.workdir.save_result(phase, {"skipped": ONE_INSTRUCTION})
            return progress.note(title, f"skipped: {ONE_INSTRUCTION}")
        starts = swap_instructions(starts, instructions)
    with (
        context.workdir.timer(phase),
        progress.phase(title, total=config.episodes, unit="episode") as bar,
    ):
        with bar.compiling():
            evaluate_fn = context.evaluate_fn()
        outcome = evaluate.run(
            evaluate_fn,
            eval_params(state),
            state.normalizer,
            starts,
            config=config,
            report=lambda count, success: bar.advance(count, success=success),
        )
        # One process has played the recorded episodes.
        if (
            outcome.frames is not None
            and config.recorded
            and phase != "swapped_instructions"
        ):
            rows = np.asarray(starts.instruction_id[: config.recorded])
            captions = [instructions[int(row)] for row in rows]
            with bar.compiling("drawing the episodes"):
                _draw_episodes(context, phase, outcome.frames, captions)
    summary = evaluate.summarise(
        outcome.success, np.asarray(starts.task), task_names(context.scene)
    )
    summary |= {"episodes": config.episodes} | evaluate.failure_counts(outcome)
    context.workdir.save_result(phase, summary)
    return None


def _draw_episodes(
    context: RunContext, phase: str, frames: PyTree, captions: Sequence[str]
) -> None:
    """Write the video of a phase's first episodes, and after RL a page of them."""
    config = context.config
    episode_video.write(
        context.workdir.path / f"{phase}.mp4",
        context.scene,
        frames,
        captions,
        size=config.video_size,
        supersample=config.video_supersample,
    )
    if phase == "after":
        watched_episodes.write(
            context.workdir.path / "episodes.html",
            context.scene,
            frames,
            captions,
            every=config.evaluation.exec_horizon,
            size=config.image_size,
            note="The first evaluation episodes after online RL.",
        )


def swap_instructions(
    starts: evaluate.EvalBatch, instructions: dict[int, str]
) -> evaluate.EvalBatch:
    """Give every episode the instruction of another task; goals stay.

    Args:
      starts: of the episodes.
      instructions: instruction of each task; at least two differ.

    Returns:
      `starts` with other instructions; tasks with the same instruction count as one.
    """
    first: dict[str, int] = {}
    for row, text in instructions.items():
        first.setdefault(text, row)
    tasks = [first[instructions[int(row)]] for row in np.asarray(starts.task)]
    swapped = evaluate.swap_instructions(
        starts._replace(task=np.array(tasks, np.int32)), list(first.values())
    )
    return starts._replace(instruction_id=swapped.instruction_id)


def run_time_split(context: RunContext, state: TrainState) -> None:
    """Measure the seconds that the parts of one online update take."""
    if context.workdir.result("time_split") is not None:
        return
    if jax.process_count() > 1:
        progress.note("Time split", "not measured with several processes")
        return
    config = context.config
    with (
        context.workdir.timer("time_split"),
        progress.phase("Time split", unit="piece") as bar,
        bar.compiling("compiling and timing"),
    ):
        split = profile.profile_update(
            state,
            rng.named_key(config.seed, "timing"),
            environment=context.environment,
            tasks=config.tasks,
            policy_config=config.policy,
            sampler=config.sampler,
            config=config.rl,
        )
    context.workdir.save_result("time_split", split)
