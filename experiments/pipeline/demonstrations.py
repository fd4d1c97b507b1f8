"""The demonstrations phase: the expert recorded and stored, or a dataset read."""

from typing import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from data_pipelines import rlds
from experiments.pipeline.run_context import RunContext
from experiments.reporting import progress
from omnivla_jax.core.types import Demonstration
from omnivla_jax.sim.libero.tasks import Task
from omnivla_jax.train import loop, rng
from omnivla_jax.world import demos, visual_scene


def demonstrations(context: RunContext) -> Callable[[], list[Demonstration]]:
    """Record the expert and store it; returns how to get at the episodes.

    Where the settings name a dataset, that is read instead and nothing is stored.
    """
    directory = context.workdir.path / "demonstrations"
    config = context.config.demonstrations
    done = context.workdir.result("demonstrations") is not None
    if done:
        progress.note("Demonstrations", "there already")
    if done and config.dataset is None:
        return lambda: rlds.read(directory)
    diverged = None  # of a given dataset nobody knows
    if done:
        return lambda: _given(context)
    with context.workdir.timer("demonstrations"):
        if config.dataset is not None:
            episodes = _given(context)
        else:
            episodes, diverged = _recorded(context)
            rlds.write(directory, episodes, name=context.config.suite)
    lengths = [len(episode.action) for episode in episodes]
    context.workdir.save_result(
        "demonstrations",
        {
            "episodes": len(episodes),
            "mean_steps": float(np.mean(lengths)),
            "diverged": diverged,
        },
    )
    return lambda: episodes


def _given(context: RunContext) -> list[Demonstration]:
    """The demonstrations of the chosen tasks in the dataset that the settings name."""
    settings = context.config
    assert settings.demonstrations.dataset is not None
    chosen = [context.scene.tasks[row] for row in settings.tasks]
    episodes = of_tasks(
        rlds.read(settings.demonstrations.dataset),
        dict(zip(settings.tasks, chosen)),
        source=str(settings.demonstrations.dataset),
    )
    side, size = episodes[0].images.shape[2], settings.image_size
    drawn = "" if side == size else f", pictures of {side} pixels made {size}"
    progress.note(
        "Demonstrations",
        f"{len(episodes)} of {settings.demonstrations.dataset}{drawn}",
    )
    return [e._replace(images=_resized(e.images, size)) for e in episodes]


def of_tasks(
    episodes: Sequence[Demonstration], tasks: dict[int, Task], *, source: str
) -> list[Demonstration]:
    """The episodes whose instruction is one of the tasks', under the task's number.

    Capitals and spaces do not count; what is learnt is spelt as the task spells it.

    Raises:
      ValueError: a task that no episode shows, with the instructions that there are.
    """
    rows = {_plain(task.instruction): row for row, task in tasks.items()}
    kept = [
        episode._replace(
            instruction=tasks[rows[_plain(episode.instruction)]].instruction,
            task=rows[_plain(episode.instruction)],
        )
        for episode in episodes
        if _plain(episode.instruction) in rows
    ]
    shown = {_plain(episode.instruction) for episode in kept}
    for text, row in rows.items():
        if text not in shown:
            known = sorted({episode.instruction for episode in episodes})
            others = "; ".join(map(repr, known[:6])) + ("..." if known[6:] else "")
            raise ValueError(
                f"{source} shows nobody at {tasks[row].instruction!r}, but {others}: "
                "choose tasks that it shows, or give another dataset."
            )
    return kept


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """Pictures [T, V, S, S, 3] with another side, averaged where it is smaller."""
    if images.shape[2] == size:
        return images
    flat = images.reshape(-1, *images.shape[2:])
    made = [
        np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BILINEAR))
        for one in flat
    ]
    return np.stack(made).reshape(*images.shape[:2], size, size, 3)


def _recorded(context: RunContext) -> tuple[list[Demonstration], int]:
    """The expert's episodes, and how many diverged and were left out."""
    total = context.config.demonstrations.episodes
    with progress.phase("Demonstrations", total=total, unit="episode") as bar:
        return _record(context, bar)


def shares(episodes: int, tasks: Sequence[int]) -> dict[int, int]:
    """How many episodes each task keeps; the first ones keep what is left over."""
    each, over = divmod(episodes, len(tasks))
    return {row: each + (turn < over) for turn, row in enumerate(tasks)}


def turns(tasks: Sequence[int], batch_size: int, attempt: int) -> np.ndarray:
    """The tasks [batch_size] of a batch: they take turns, from batch to batch on."""
    index = np.arange(batch_size) + attempt * batch_size
    return np.asarray(tasks, np.int32)[index % len(tasks)]


def _record(
    context: RunContext, bar: progress.Phase
) -> tuple[list[Demonstration], int]:
    """Batches of the expert until every task has its share of successes.

    Returns them, and how many episodes diverged and were left out.
    """
    config, tasks = context.config.demonstrations, context.config.tasks
    record = demos.make_recorder(
        context.scene,
        visual_scene.make(context.scene),
        steps=config.steps,
        size=context.config.image_size,
        action_noise=config.noise,
    )
    key = rng.named_key(context.config.seed, "demonstrations")
    share = shares(config.episodes, tasks)
    kept: list[Demonstration] = []
    diverged = 0
    with bar.compiling():
        task = jnp.asarray(turns(tasks, config.batch_size, 0))
        record = record.lower(task, key).compile()  # type: ignore[attr-defined]
    for attempt in range(config.attempts * -(-config.episodes // config.batch_size)):
        task = jnp.asarray(turns(tasks, config.batch_size, attempt))
        recording = loop.wait(record(task, jax.random.fold_in(key, attempt)))
        diverged += int(recording.diverged[-1].sum())
        for episode in demos.successful_episodes(context.scene, task, recording):
            if share[episode.task] > 0:
                share[episode.task] -= 1
                kept.append(episode)
                bar.advance(diverged=diverged)
        if not any(share.values()):
            return kept, diverged
    missing = {row: count for row, count in share.items() if count}
    raise ValueError(
        f"The expert is still short of {missing} episodes by task after {attempt + 1} "
        "batches: lower demonstrations.noise, allow more demonstrations.steps, or give "
        "--config.demonstrations.dataset=FOLDER."
    )
