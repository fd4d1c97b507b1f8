"""The phases of the main job, each resumable: what runs, in which order.

    demonstrations -> flow matching -> before -> Flow-GSPO -> after -> swapped
    instructions -> time split -> report

A finished phase leaves its result in the workdir and is skipped on resuming; the two
training stages also continue in the middle, from their last checkpoint.
"""

from typing import Any, Sequence

import numpy as np
from jax.sharding import Mesh

from experiments.configs.schema import Settings
from experiments.pipeline import demonstrations, episode_video, results, training
from experiments.pipeline.run_context import RunContext, build, task_names
from experiments.pipeline.workdir import Workdir
from experiments.reporting import progress
from omnivla_jax.train import evaluate, rng
from omnivla_jax.train.online import profile
from omnivla_jax.train.state import TrainState, evaluated

ONE_INSTRUCTION = "there is only one instruction"
EVALUATIONS = {
    "before": "Before",
    "after": "After",
    "swapped_instructions": "Swapped words",
}


def run(settings: Settings, workdir: Workdir, mesh: Mesh | None) -> dict[str, Any]:
    """The whole job; returns what results.json holds."""
    job = build(settings, workdir, mesh)
    episodes = demonstrations.demonstrations(job)
    trained = training.flow_matching(job, episodes)
    evaluation(job, "before", trained)
    tuned = training.flow_gspo(job, trained)
    evaluation(job, "after", tuned)
    evaluation(job, "swapped_instructions", tuned)
    time_split(job, tuned)
    return results.write(settings, workdir)


def evaluation(job: RunContext, phase: str, state: TrainState) -> None:
    """Success on the held-out initial states, and a video of those recorded."""
    if job.workdir.result(phase) is not None:
        return progress.note(EVALUATIONS[phase], "evaluated already")
    settings, config = job.settings, job.settings.evaluation
    title = EVALUATIONS[phase]
    start = evaluate.eval_initial_states(settings.seed, settings.tasks, config)
    if phase == "swapped_instructions":
        told = _heard_as(job)
        if len(set(told.values())) < 2:
            job.workdir.finish(phase, {"skipped": ONE_INSTRUCTION})
            return progress.note(title, f"skipped: {ONE_INSTRUCTION}")
        start = _swapped(start, told)
    with (
        job.workdir.clock(phase),
        progress.phase(title, total=config.episodes, unit="episode") as bar,
    ):
        with bar.compiling():
            program = job.evaluator()
        outcome = evaluate.run(
            program,
            evaluated(state),
            state.normalizer,
            start,
            config=config,
            report=lambda count, success: bar.advance(count, success=success),
        )
        texts = [task.instruction for task in job.scene.tasks]
        rows = np.asarray(start.task)
        found = evaluate.summarise(outcome.success, rows, task_names(job.scene))
        if config.recorded and phase != "swapped_instructions":
            with bar.compiling("drawing the video"):
                _film(
                    job,
                    phase,
                    outcome.frames,
                    [texts[row] for row in start.instruction_id],
                )
    found |= {"episodes": config.episodes} | evaluate.failure_counts(outcome)
    job.workdir.finish(phase, found)
    return None


def _heard_as(job: RunContext) -> dict[int, int]:
    """Each chosen task, and the first that has the same instruction."""
    words = {row: job.scene.tasks[row].instruction for row in job.settings.tasks}
    first: dict[str, int] = {}
    return {row: first.setdefault(text, row) for row, text in words.items()}


def _swapped(start: evaluate.EvalBatch, heard_as: dict[int, int]) -> evaluate.EvalBatch:
    """Tell every episode another instruction than its own; goals stay."""
    heard = np.array([heard_as[int(row)] for row in np.asarray(start.task)], np.int32)
    instructions = list(dict.fromkeys(heard_as.values()))
    swapped = evaluate.swap_instructions(start._replace(task=heard), instructions)
    return start._replace(instruction_id=swapped.instruction_id)


def time_split(job: RunContext, state: TrainState) -> None:
    """Where the time of one Flow-GSPO update goes."""
    if job.workdir.result("time_split") is not None:
        return
    settings = job.settings
    with (
        job.workdir.clock("time_split"),
        progress.phase("Time split", unit="piece") as bar,
        bar.compiling("compiling and timing"),
    ):
        split = profile.profile_update(
            state,
            rng.named_key(settings.seed, "timing"),
            environment=job.environment,
            tasks=settings.tasks,
            policy_config=settings.policy,
            sampler=settings.sampler,
            config=settings.rl,
        )
    job.workdir.finish("time_split", split)


def _film(
    job: RunContext, phase: str, record: Any, instructions: Sequence[str]
) -> None:
    settings = job.settings
    episode_video.write(
        job.workdir.path / f"{phase}.mp4",
        job.scene,
        record,
        instructions[: settings.evaluation.recorded],
        size=settings.video_size,
        supersample=settings.video_supersample,
    )
