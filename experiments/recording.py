"""The demonstrations phase: the scripted expert, recorded, sorted out and stored."""

from typing import Callable

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import rlds
from experiments.job import Job
from experiments.reporting import progress
from omnivla_jax.core.types import Episode
from omnivla_jax.train import loop, streams
from omnivla_jax.world import demos
from omnivla_jax.world import look as looks


def demonstrations(job: Job) -> Callable[[], list[Episode]]:
    """Record the expert and store it; returns how to get at the episodes."""
    directory = job.workdir.path / "demonstrations"
    if job.workdir.result("demonstrations") is not None:
        progress.note("Demonstrations", "there already")
        return lambda: rlds.read(directory)
    config = job.settings.demonstrations
    with (
        job.workdir.clock("demonstrations"),
        progress.phase("Demonstrations", total=config.episodes, unit="episode") as bar,
    ):
        episodes, diverged = _record(job, bar)
        rlds.write(directory, episodes, name=job.settings.suite)
    lengths = [len(episode.action) for episode in episodes]
    job.workdir.finish(
        "demonstrations",
        {
            "episodes": len(episodes),
            "mean_steps": float(np.mean(lengths)),
            "diverged": diverged,
        },
    )
    return lambda: episodes


def _record(job: Job, bar: progress.Phase) -> tuple[list[Episode], int]:
    """Batches of the expert until every task has its share of successes.

    Returns them, and how many episodes diverged and were left out.
    """
    config, tasks = job.settings.demonstrations, job.settings.tasks
    look = looks.look(job.scene)
    record = demos.recorder(
        job.scene,
        look,
        steps=config.steps,
        size=job.settings.image_size,
        noise=config.noise,
    )
    task = jnp.resize(jnp.asarray(tasks, jnp.int32), (config.batch_size,))
    key = streams.stream(job.settings.seed, "demonstrations")
    share = {row: config.episodes // len(tasks) for row in tasks}
    kept: list[Episode] = []
    diverged = 0
    with bar.compiling():
        record = record.lower(task, key).compile()  # type: ignore[attr-defined]
    for attempt in range(config.attempts * -(-config.episodes // config.batch_size)):
        recording = loop.wait(record(task, jax.random.fold_in(key, attempt)))
        diverged += int(recording.diverged[-1].sum())
        for episode in demos.successes(job.scene, task, recording):
            if share[episode.task] > 0:
                share[episode.task] -= 1
                kept.append(episode)
                bar.advance(diverged=diverged)
        if not any(share.values()):
            return kept, diverged
    raise ValueError(
        f"The expert is still short of {share} episodes by task after {attempt + 1} "
        "batches: lower demonstrations.noise, or allow more demonstrations.steps."
    )
