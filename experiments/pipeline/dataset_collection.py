"""Expert demonstrations of whole suites: recorded in parts, resumable, then joined.

Every batch has its own key, made of seed, task and attempt, and its own part on disk,
so that an interrupted collection continues where it stopped and ends in the same files.
"""

import itertools
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import rlds, rlds_paths
from data_pipelines.readers import READERS
from data_pipelines.writers import WRITERS
from experiments.configs.checks import check_tasks
from experiments.reporting import progress
from omnivla_jax.core.types import Demonstration
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import tasks as task_tables
from omnivla_jax.sim.libero.tasks import Suite
from omnivla_jax.sim.scene import Scene
from omnivla_jax.train import loop, rng
from omnivla_jax.world import demos, expert, visual_scene

STEPS_PER_CALL = 40  # control steps between two checks for finished episodes
ATTEMPTS = 6  # times the wanted number of episodes are tried before giving up
STATES = ".npz"  # of the simulator, in a file beside each part
SETTINGS = "plan.json"  # of an unfinished collection, beside its parts


@dataclass(frozen=True)
class CollectionConfig:
    """Settings of a collection; the same ones give the same files."""

    suite: str
    tasks: tuple[int, ...]
    episodes: int  # successes to keep of each task
    batch_size: int
    image_size: int
    noise: float  # deviation of the disturbance on the expert's commands
    seed: int
    engine: str
    preset: str
    task_files: Mapping[str, Any]  # how a user's files are read: see `tasks.suite`

    @property
    def task_table(self) -> Suite:
        """The suite, read as `task_files` says."""
        return task_tables.suite(self.suite, **self.task_files)


def collect(
    config: CollectionConfig,
    directory: Path,
    *,
    resume: bool,
    layout: str = "rlds",
) -> int:
    """Record the expert and store its successful episodes.

    Args:
      config: what to collect.
      directory: of datasets; this one gets the suite's or BDDL file's name.
      resume: go on with an interrupted collection.
      layout: of the dataset, one of `WRITERS`.

    Returns:
      The number of episodes in the dataset.

    Raises:
      FileExistsError: there are parts of an earlier collection and `resume` is off, or
        files that this program did not write are in the way.
      ValueError: an unknown task, or one without a script; those parts are of another
        config, or what is to be resumed was finished with another number of episodes;
        the expert fails too often.
    """
    check_tasks(config.task_table, config.tasks, example="--tasks=0")
    expert.require_skills(config.task_table, config.tasks)
    total = config.episodes * len(config.tasks)
    parts = directory.with_name(f".{directory.name}.parts")
    writer = WRITERS[layout]
    name = rlds_paths.dataset_name(config.suite)
    num_stored = writer.count_episodes(directory, name) if resume else 0
    if num_stored and _is_finished(num_stored, directory, parts, total):
        progress.note("Demonstrations", f"{directory} is finished: nothing to resume.")
        return total
    writer.check_writable(directory, name)
    _open_parts(config, parts, resume=resume)
    with progress.phase("Demonstrations", total=total, unit="episode") as bar:
        for scene, rows in _scenes(config):
            recorder = TaskRecorder(scene, config)
            for task in rows:
                _collect_task(recorder, config, task, parts, bar)
    folders = [
        part
        for task in config.tasks
        for part in sorted(parts.glob(f"task{task:02d}_*"))
        if part.is_dir() and not _is_empty(part)
    ]
    episodes = itertools.chain.from_iterable(map(_read_part, folders))
    task_names = {row: config.task_table.tasks[row].name for row in config.tasks}
    writer.write(directory, episodes, name=name, task_names=task_names)
    shutil.rmtree(parts)
    return total


class TaskRecorder:
    """Records a scene's expert in batches; compiled on its first use."""

    def __init__(self, scene: Scene, config: CollectionConfig) -> None:
        self.scene, self.config = scene, config
        self.diverged = 0  # episodes, which are left out
        self.runner = demos.make_runner(
            scene,
            visual_scene.make(scene),
            steps=STEPS_PER_CALL,
            size=config.image_size,
            action_noise=config.noise,
        )

    def record_batch(self, task: int, attempt: int) -> list[Demonstration]:
        """The successful episodes of one batch of a task."""
        key = rng.named_key(self.config.seed, "demonstrations")
        key = jax.random.fold_in(jax.random.fold_in(key, task), attempt)
        rows = jnp.full(self.config.batch_size, task, jnp.int32)
        rollout = loop.block_until_ready(
            self.runner.reset(rows, jax.random.fold_in(key, 0))
        )
        segments: list[demos.ExpertTrajectory] = []
        for step in range(0, self.scene.suite.horizon, STEPS_PER_CALL):
            segment_key = jax.random.fold_in(key, 1 + step)
            rollout, segment = loop.block_until_ready(
                self.runner.advance(rollout, segment_key)
            )
            segments.append(jax.tree.map(np.asarray, segment))
            if (segments[-1].success | segments[-1].diverged)[-1].all():
                break
        trajectory = jax.tree.map(lambda *leaves: np.concatenate(leaves), *segments)
        self.diverged += int(trajectory.diverged[-1].sum())
        return list(demos.successful_episodes(self.scene, rows, trajectory))


def _scenes(config: CollectionConfig) -> Iterator[tuple[Scene, tuple[int, ...]]]:
    """Yield scenes without unused objects, and the tasks of each."""
    tasks = config.task_table.tasks
    groups: dict[str, list[int]] = {}
    for row in config.tasks:
        groups.setdefault(repr(task_tables.scene_assets((tasks[row],))), []).append(row)
    for rows in groups.values():
        scene = scenes.make(
            config.suite,
            tasks=rows,
            engine=config.engine,
            preset=config.preset,
            **config.task_files,
        )
        yield scene, tuple(rows)


def _collect_task(
    recorder: TaskRecorder,
    config: CollectionConfig,
    task: int,
    parts: Path,
    bar: progress.ProgressBar,
) -> None:
    """Record batches of a task until it has its episodes, each batch into its part.

    A part of an earlier attempt is not recorded again; one without a success is an
    empty folder.
    """
    missing = config.episodes
    for attempt in range(-(-ATTEMPTS * config.episodes // config.batch_size)):
        part = parts / f"task{task:02d}_{attempt:03d}"
        if not rlds.count(part) and not _is_empty(part):
            before = recorder.diverged
            episodes = recorder.record_batch(task, attempt)[:missing]
            if episodes:
                _write_part(part, episodes)
            else:
                part.mkdir()
            diverged = int(bar.numbers.get("diverged", 0)) + recorder.diverged - before
            bar.advance(0, diverged=diverged)
        num_episodes = 0 if _is_empty(part) else rlds.count(part)
        bar.advance(num_episodes)
        missing -= num_episodes
        if missing <= 0:
            return
    instruction = recorder.scene.tasks[task].instruction
    raise ValueError(
        f"The expert is {missing} episodes short of {config.episodes} for "
        f"{instruction!r} (task {task}): lower --noise, ask for fewer --episodes, or "
        "record with your own policy."
    )


def _write_part(part: Path, episodes: Sequence[Demonstration]) -> None:
    """Write episodes and, in a file beside them, the simulator's states."""
    states = [episode.simulator_state for episode in episodes]
    if all(rows is not None for rows in states):
        np.savez(part.with_suffix(STATES), *states)
    rlds.write(part, episodes, name="part")  # at last: it makes the part whole


def _read_part(part: Path) -> Iterator[Demonstration]:
    """The episodes of a part with their states; an older one has none."""
    episodes, file = READERS["rlds"](part), part.with_suffix(STATES)
    if not file.exists():
        yield from episodes
        return
    with np.load(file) as stored:
        for episode, name in zip(episodes, stored.files, strict=True):
            yield episode._replace(simulator_state=stored[name])


def _is_empty(part: Path) -> bool:
    """Whether a batch was recorded and had no success."""
    return part.is_dir() and not any(part.iterdir())


def _is_finished(num_stored: int, directory: Path, parts: Path, total: int) -> bool:
    """Whether no unfinished parts are left of the whole dataset that lies there."""
    if (parts / SETTINGS).exists():
        return False
    if num_stored != total:
        raise ValueError(
            f"{directory} is finished, with {num_stored} episodes where {total} are "
            "asked for: choose another --out, or leave out --resume to collect anew "
            "(only what this program wrote is replaced)."
        )
    return True


def _open_parts(config: CollectionConfig, parts: Path, *, resume: bool) -> None:
    """Make or take up the folder of the parts; raises as `collect`."""
    file = parts / SETTINGS
    settings = json.dumps(asdict(config), indent=1)
    if not file.exists():
        if parts.exists() and any(parts.iterdir()):  # it goes when all is collected
            raise FileExistsError(
                f"{parts} holds files of no collection: choose another --out."
            )
        parts.mkdir(parents=True, exist_ok=True)
        file.write_text(settings)
    elif not resume:
        raise FileExistsError(
            f"{parts} holds an unfinished collection of this program: add --resume to "
            "continue it, or choose another --out."
        )
    elif file.read_text() != settings:
        raise ValueError(
            f"{parts} was collected with other flags ({file}): repeat those, or "
            "choose another --out."
        )
