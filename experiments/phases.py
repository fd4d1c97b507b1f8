"""The phases of the main job, each resumable: what runs, in which order.

    demonstrations -> flow matching -> before -> Flow-GSPO -> after -> swapped
    instructions -> time split -> report

A finished phase leaves its result in the workdir and is skipped on resuming; the two
training stages also continue in the middle, from their last checkpoint.
"""

from typing import Any, Sequence

import numpy as np
from jax.sharding import Mesh

from experiments import films, recording, summary, training
from experiments.job import Job, build
from experiments.reporting import progress
from experiments.settings import Settings
from experiments.workdir import Workdir
from omnivla_jax.train import evaluate, streams, timing
from omnivla_jax.train.state import TrainState, evaluated

EVALUATIONS = {
    "before": "Before",
    "after": "After",
    "swapped_instructions": "Swapped words",
}


def run(settings: Settings, workdir: Workdir, mesh: Mesh | None) -> dict[str, Any]:
    """The whole job; returns what results.json holds."""
    job = build(settings, workdir, mesh)
    episodes = recording.demonstrations(job)
    trained = training.flow_matching(job, episodes)
    evaluation(job, "before", trained)
    tuned = training.flow_gspo(job, trained)
    evaluation(job, "after", tuned)
    evaluation(job, "swapped_instructions", tuned)
    time_split(job, tuned)
    return summary.write(settings, workdir)


def evaluation(job: Job, phase: str, state: TrainState) -> None:
    """Success on the held-out initial states, and a video of those recorded."""
    if job.workdir.result(phase) is not None:
        return progress.note(EVALUATIONS[phase], "evaluated already")
    settings, config = job.settings, job.settings.evaluation
    start = evaluate.held_out(settings.seed, settings.tasks, config)
    if phase == "swapped_instructions":
        start = evaluate.swap_instructions(start, settings.tasks)
    title = EVALUATIONS[phase]
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
        found = evaluate.summarise(outcome.success, np.asarray(start.task), texts)
        if config.recorded and phase != "swapped_instructions":
            with bar.compiling("drawing the video"):
                _film(job, phase, outcome.record, [texts[row] for row in start.told])
    diverged = {"diverged": int(outcome.diverged.sum())}
    job.workdir.finish(phase, found | {"episodes": config.episodes} | diverged)
    return None


def time_split(job: Job, state: TrainState) -> None:
    """Where the time of one Flow-GSPO update goes."""
    if job.workdir.result("time_split") is not None:
        return
    settings = job.settings
    with (
        job.workdir.clock("time_split"),
        progress.phase("Time split", unit="piece") as bar,
        bar.compiling("compiling and timing"),
    ):
        split = timing.time_split(
            state,
            streams.stream(settings.seed, "timing"),
            environment=job.environment,
            tasks=settings.tasks,
            policy_config=settings.policy,
            sampler=settings.sampler,
            config=settings.rl,
        )
    job.workdir.finish("time_split", split)


def _film(job: Job, phase: str, record: Any, instructions: Sequence[str]) -> None:
    settings = job.settings
    films.write(
        job.workdir.path / f"{phase}.mp4",
        job.scene,
        record,
        instructions[: settings.evaluation.recorded],
        size=settings.video_size,
        supersample=settings.video_supersample,
    )
