"""The demonstrations phase: the expert is recorded and stored, or a dataset is read.

Axes: T control steps, V camera views, S image side.
"""

import zlib
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import lazy_images, rlds
from data_pipelines.readers import READERS, detect, input_names
from experiments.configs.schema import DataConfig
from experiments.pipeline.run_context import RunContext
from experiments.reporting import progress
from omnivla_jax.core import distributed
from omnivla_jax.core.types import Demonstration
from omnivla_jax.sim.libero.tasks import Task
from omnivla_jax.train import loop, rng
from omnivla_jax.world import demos, visual_scene

MAX_INSTRUCTIONS = 100  # of a dataset alone, which its checkpoints list


def demonstrations(context: RunContext) -> Callable[[], list[Demonstration]]:
    """Run the phase, unless it is finished.

    Args:
      context: of the run. Where its `config.data` names a dataset, that is read, and
        nothing stored in the run's folder.

    Returns:
      A function that returns the demonstrations of the run's tasks. With
      `data.streaming` their pictures are decoded on access.
    """
    config = context.config.data
    directory = context.workdir.path / "demonstrations"
    finished = context.workdir.result("demonstrations")
    if finished is not None:
        progress.note("Demonstrations", "there already")
        if config.source != "expert":
            return lambda: _unchanged(_load_dataset(context), finished, config.path)
        if config.streaming:
            return lambda: list(READERS["rlds"](directory))
        return lambda: rlds.read(directory)
    diverged = None  # unknown of a dataset
    with context.workdir.timer("demonstrations"):
        if config.source == "expert":
            episodes, diverged = _record_expert(context)
            rlds.write(directory, episodes, name=context.config.suite)
            if config.streaming:
                episodes = list(READERS["rlds"](directory))
        else:
            episodes = _load_dataset(context)
    summary = _summary(episodes)
    distributed.require_same(
        summary["checksum"],
        "The processes have different demonstrations: record them once with "
        "experiments.collect_demos and give --config.data.source=auto "
        "--config.data.path=FOLDER",
    )
    summary["diverged"] = diverged
    if not context.config.simulated:
        texts = sorted({episode.instruction for episode in episodes})
        summary["instructions"] = texts[:MAX_INSTRUCTIONS]
        assert config.path is not None  # without a simulator there is no expert
        names = input_names(_reader_name(config), config.path, config.options)
        summary["cameras"], summary["state_keys"] = names
    context.workdir.save_result("demonstrations", summary)
    return lambda: episodes


def _summary(episodes: Sequence[Demonstration]) -> dict[str, Any]:
    """Numbers of demonstrations, and a checksum of all but their pictures."""
    checksum = 0
    for episode in episodes:
        for array in (episode.state, episode.action):
            data = np.ascontiguousarray(array, np.float32).tobytes()
            checksum = zlib.crc32(data, checksum)
        checksum = zlib.crc32(episode.instruction.encode(), checksum)
    return {
        "episodes": len(episodes),
        "mean_steps": float(np.mean([len(e.action) for e in episodes])),
        "checksum": checksum,
    }


def _unchanged(
    episodes: list[Demonstration], finished: Mapping[str, Any], path: Path | None
) -> list[Demonstration]:
    """`episodes`, read again; a ValueError where they are not those of `finished`."""
    summary = _summary(episodes)
    # Runs of earlier releases have no checksum.
    if summary["checksum"] == finished.get("checksum", summary["checksum"]):
        return episodes
    raise ValueError(
        f"{path} has changed since the run started: {len(episodes)} demonstrations of "
        f"{summary['mean_steps']:.1f} steps, then {finished['episodes']} of "
        f"{finished['mean_steps']:.1f}. Put it back to resume, or start another "
        "--workdir."
    )


def _load_dataset(context: RunContext) -> list[Demonstration]:
    """The demonstrations of the run's tasks in the dataset that `config.data` names."""
    config, data = context.config, context.config.data
    assert data.path is not None
    source = _reader_name(data)
    episodes = list(READERS[source](data.path, options=data.options))
    if config.simulated:
        tasks = {row: context.scene.tasks[row] for row in config.tasks}
        episodes = select_tasks(
            episodes, tasks, source=str(data.path), keep_others=data.all_tasks
        )
    elif not episodes:
        raise ValueError(f"{data.path} holds no demonstration: give another dataset.")
    views = episodes[0].images.shape[1]
    if views != config.policy.views:
        raise ValueError(
            f"{data.path} has {views} pictures a step, but the policy looks at "
            f"{config.policy.views}: choose by --config.data.cameras=NAME,NAME, or set "
            f"--config.policy.views={views}."
        )
    side, size = episodes[0].images.shape[2], config.image_size
    resized = "" if side == size else f", pictures resized from {side} to {size} pixels"
    progress.note(
        "Demonstrations", f"{len(episodes)} of {data.path} ({source}){resized}"
    )
    episodes = [e._replace(images=lazy_images.resize(e.images, size)) for e in episodes]
    if data.streaming:
        return episodes
    return [e._replace(images=np.asarray(e.images)) for e in episodes]


def _reader_name(data: DataConfig) -> str:
    """The reader of the dataset that `data` names."""
    if data.source != "auto" or data.path is None:
        return data.source
    return detect(data.path)


def normalized_words(text: str) -> str:
    """An instruction without capitals and further spaces: how two are compared."""
    return " ".join(text.lower().split())


def select_tasks(
    episodes: Sequence[Demonstration],
    tasks: dict[int, Task],
    *,
    source: str,
    keep_others: bool = False,
) -> list[Demonstration]:
    """The episodes whose instruction is one of the tasks', under the task's number.

    Capitals and spaces are ignored; the instruction becomes the task's own spelling.

    Args:
      episodes: of a dataset.
      tasks: by their row in the suite.
      source: of the episodes, to name in the error.
      keep_others: keep those of other instructions, too, under the number that they
        have; no task has to have an episode then.

    Raises:
      ValueError: a task without an episode, with the instructions that there are.
    """
    rows = {normalized_words(task.instruction): row for row, task in tasks.items()}
    selected = []
    for episode in episodes:
        row = rows.get(normalized_words(episode.instruction))
        if row is not None:
            text = tasks[row].instruction
            selected.append(episode._replace(instruction=text, task=row))
        elif keep_others:
            selected.append(episode)
    if keep_others and selected:
        return selected
    demonstrated = {episode.task for episode in selected}
    for row, task in tasks.items():
        if row not in demonstrated:
            known = sorted({episode.instruction for episode in episodes})
            others = "; ".join(map(repr, known[:6])) + ("..." if known[6:] else "")
            raise ValueError(
                f"{source} has no demonstration of {task.instruction!r}, but of "
                f"{others}: choose tasks that it has, or give another dataset."
            )
    return selected


def episodes_per_task(episodes: int, tasks: Sequence[int]) -> dict[int, int]:
    """How many episodes to keep of each task; the first tasks get the remainder."""
    each, over = divmod(episodes, len(tasks))
    return {row: each + (turn < over) for turn, row in enumerate(tasks)}


def batch_tasks(tasks: Sequence[int], batch_size: int, attempt: int) -> np.ndarray:
    """The tasks int32 [batch_size] of a batch: round robin, from batch to batch on."""
    index = np.arange(batch_size) + attempt * batch_size
    return np.asarray(tasks, np.int32)[index % len(tasks)]


def _record_expert(context: RunContext) -> tuple[list[Demonstration], int]:
    """Record batches of the expert until every task has its number of successes.

    Returns the demonstrations, and how many episodes diverged and were left out.
    """
    config, tasks = context.config.demonstrations, context.config.tasks
    record = demos.make_recorder(
        context.scene,
        visual_scene.make(context.scene),
        steps=config.steps,
        size=context.config.image_size,
        action_noise=config.noise,
        perturb=context.config.perturb_in("sft"),
    )
    key = rng.named_key(context.config.seed, "demonstrations")
    missing = episodes_per_task(config.episodes, tasks)
    episodes: list[Demonstration] = []
    diverged = 0
    num_batches = config.attempts * -(-config.episodes // config.batch_size)
    with progress.phase("Demonstrations", total=config.episodes, unit="episode") as bar:
        with bar.compiling():
            task = jnp.asarray(batch_tasks(tasks, config.batch_size, 0))
            record = record.lower(task, key).compile()  # type: ignore[attr-defined]
        for attempt in range(num_batches):
            task = jnp.asarray(batch_tasks(tasks, config.batch_size, attempt))
            recording = loop.block_until_ready(
                record(task, jax.random.fold_in(key, attempt))
            )
            diverged += int(recording.diverged[-1].sum())
            for episode in demos.successful_episodes(context.scene, task, recording):
                if missing[episode.task] > 0:
                    missing[episode.task] -= 1
                    episodes.append(episode)
                    bar.advance(diverged=diverged)
            if not any(missing.values()):
                return episodes, diverged
    short = {row: count for row, count in missing.items() if count}
    raise ValueError(
        f"The expert is still short of {short} episodes by task after {num_batches} "
        "batches: lower demonstrations.noise, allow more demonstrations.steps, or give "
        "a dataset: --config.data.source=auto --config.data.path=FOLDER."
    )
