"""Expert demonstrations of whole suites: recorded in parts, resumable, then joined.

Every batch has its own key, made of seed, task and attempt, and its own part on disk,
so that an interrupted collection continues where it stopped and ends in the same files.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import rlds
from experiments.configs.schema import check_tasks
from experiments.reporting import progress
from omnivla_jax.core.types import Demonstration
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import tasks as task_tables
from omnivla_jax.sim.libero.tasks import Suite
from omnivla_jax.sim.scene import Scene
from omnivla_jax.train import loop, rng
from omnivla_jax.world import demos, expert, visual_scene

STEPS_PER_CALL = 40  # control steps between two looks at whether all episodes are over
ATTEMPTS = 6  # times the wanted number of episodes are tried before giving up


@dataclass(frozen=True)
class CollectionConfig:
    """What to collect; the same plan gives the same files."""

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
    plan: CollectionConfig,
    directory: Path,
    *,
    resume: bool,
    file_format: str = "tfrecord",
) -> int:
    """Record, sort out and store; returns the number of episodes.

    Args:
      plan: what to collect.
      directory: tfds' data_dir; the dataset gets the suite's or BDDL file's name.
      resume: go on with an interrupted collection.
      file_format: of the dataset, "tfrecord" or "array_record".

    Raises:
      FileExistsError: there are parts of an earlier collection and `resume` is off, or
        files that this program did not write are in the way.
      ValueError: an unknown task, or one without a script; those parts are of another
        plan, or what is to be resumed was finished with another number of episodes;
        the expert fails too often.
    """
    check_tasks(plan.task_table, plan.tasks, example="--tasks=0")
    expert.require_skills(plan.task_table, plan.tasks)
    total = plan.episodes * len(plan.tasks)
    if resume and _is_finished(plan, directory, total):
        progress.note("Demonstrations", f"{directory} is finished: nothing to resume.")
        return total
    rlds.check_writable(directory, plan.suite)  # before hours of work, not after
    parts = _open_parts(plan, directory, resume=resume)
    with progress.phase("Demonstrations", total=total, unit="episode") as bar:
        for scene, rows in _scenes(plan):
            play = _Play(scene, plan)
            for task in rows:
                _collect_task(play, plan, task, parts, bar)
    rlds.write(
        directory, _joined(plan, parts), name=plan.suite, file_format=file_format
    )
    shutil.rmtree(parts)
    return total


class _Play:
    """A scene's expert, compiled on its first use."""

    def __init__(self, scene: Scene, plan: CollectionConfig) -> None:
        self.scene, self.plan = scene, plan
        self.diverged = 0  # episodes, which are left out
        self.runner = demos.make_runner(
            scene,
            visual_scene.make(scene),
            steps=STEPS_PER_CALL,
            size=plan.image_size,
            action_noise=plan.noise,
        )

    def batch(self, task: int, attempt: int) -> list[Demonstration]:
        """The successes of one batch."""
        key = rng.named_key(self.plan.seed, "demonstrations")
        key = jax.random.fold_in(jax.random.fold_in(key, task), attempt)
        rows = jnp.full(self.plan.batch_size, task, jnp.int32)
        rollout = loop.block_until_ready(
            self.runner.reset(rows, jax.random.fold_in(key, 0))
        )
        seen: list[demos.ExpertTrajectory] = []
        for step in range(0, self.scene.suite.horizon, STEPS_PER_CALL):
            segment_key = jax.random.fold_in(key, 1 + step)
            rollout, segment = loop.block_until_ready(
                self.runner.advance(rollout, segment_key)
            )
            seen.append(jax.tree.map(np.asarray, segment))
            if (seen[-1].success | seen[-1].diverged)[-1].all():
                break
        whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *seen)
        self.diverged += int(whole.diverged[-1].sum())
        return list(demos.successful_episodes(self.scene, rows, whole))


def _scenes(plan: CollectionConfig) -> Iterator[tuple[Scene, tuple[int, ...]]]:
    """Scenes that hold nothing their tasks do not use, and those tasks."""
    tasks = plan.task_table.tasks
    groups: dict[str, list[int]] = {}
    for row in plan.tasks:
        groups.setdefault(repr(task_tables.scene_assets((tasks[row],))), []).append(row)
    for rows in groups.values():
        scene = scenes.make(
            plan.suite,
            tasks=rows,
            engine=plan.engine,
            preset=plan.preset,
            **plan.task_files,
        )
        yield scene, tuple(rows)


def _collect_task(
    play: _Play, plan: CollectionConfig, task: int, parts: Path, bar: progress.Phase
) -> None:
    wanted = plan.episodes
    for attempt in range(-(-ATTEMPTS * plan.episodes // plan.batch_size)):
        part = parts / f"task{task:02d}_{attempt:03d}"
        if not rlds.is_complete(part) and not _is_empty(part):
            before = play.diverged
            _store(part, play.batch(task, attempt)[:wanted])
            diverged = int(bar.numbers.get("diverged", 0)) + play.diverged - before
            bar.advance(0, diverged=diverged)
        found = 0 if _is_empty(part) else rlds.count(part)
        bar.advance(found)
        wanted -= found
        if wanted <= 0:
            return
    instruction = play.scene.tasks[task].instruction
    raise ValueError(
        f"The expert is {wanted} episodes short of {plan.episodes} for "
        f"{instruction!r} (task {task}): lower --noise, ask for fewer --episodes, or "
        "record with your own policy."
    )


def _store(part: Path, episodes: list[Demonstration]) -> None:
    if episodes:
        rlds.write(part, episodes, name="part")
    else:
        part.mkdir()


def _is_empty(part: Path) -> bool:
    """Whether a batch was played and had no success."""
    return part.is_dir() and not any(part.iterdir())


def _joined(plan: CollectionConfig, parts: Path) -> Iterator[Demonstration]:
    for task in plan.tasks:
        for part in sorted(parts.glob(f"task{task:02d}_*")):
            if not _is_empty(part):
                yield from rlds.read(part)


def _is_finished(plan: CollectionConfig, directory: Path, total: int) -> bool:
    """Whether a whole dataset lies there, of which no unfinished parts are left."""
    found = rlds.count(directory, plan.suite)
    if not found or _note(directory).exists():
        return False
    if found != total:
        raise ValueError(
            f"{directory} is finished, with {found} episodes where {total} are asked "
            "for: choose another --out, or leave out --resume to collect anew "
            "(only what this program wrote is replaced)."
        )
    return True


def _note(directory: Path) -> Path:
    """Where an unfinished collection keeps its plan, beside its parts."""
    return directory.with_name(f".{directory.name}.parts") / "plan.json"


def _open_parts(plan: CollectionConfig, directory: Path, *, resume: bool) -> Path:
    note = _note(directory)
    parts = note.parent
    written = json.dumps(asdict(plan), indent=1)
    if not note.exists():
        if parts.exists() and any(parts.iterdir()):  # it goes when all is collected
            raise FileExistsError(
                f"{parts} holds files of no collection: choose another --out."
            )
        parts.mkdir(parents=True, exist_ok=True)
        note.write_text(written)
    elif not resume:
        raise FileExistsError(
            f"{parts} holds an unfinished collection of this program: add --resume to "
            "continue it, or choose another --out."
        )
    elif note.read_text() != written:
        raise ValueError(
            f"{parts} was collected with other flags ({note}): repeat those, or "
            "choose another --out."
        )
    return parts
