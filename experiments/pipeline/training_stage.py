"""A training stage from its last checkpoint to its end, with all that it leaves behind.

Metrics go to a CSV file and to TensorBoard, the state to checkpoints; now and then it
is evaluated and the best one kept. Where the last checkpoint is taken up, the records
beyond it are made again.
"""

import contextlib
from dataclasses import dataclass
from typing import Callable, Iterator, NamedTuple, Sequence

from experiments.pipeline import best_checkpoint
from experiments.pipeline.run_context import RunContext
from experiments.reporting import progress, tensorboard
from omnivla_jax.train import checkpoints, csv_log, loop
from omnivla_jax.train.csv_log import Row
from omnivla_jax.train.state import TrainState


@dataclass(frozen=True)
class Stage:
    """What a training stage is, and how it begins."""

    name: str  # of its files
    title: str
    unit: str  # what one call of its step is called
    calls: int
    like: TrainState  # shapes
    start: Callable[[], tuple[TrainState, loop.Step]]  # compiles
    shown: tuple[str, ...]  # metrics beside the progress bar
    evaluate_every: int = 0  # calls between two validations; 0: never


class LoopCallbacks(NamedTuple):
    """What `loop.run` calls on its way."""

    report: Callable[[Row], None]
    save: Callable[[TrainState, list[Row]], None]
    evaluate: Callable[[TrainState, list[Row]], None]


def run(job: RunContext, stage: Stage) -> TrainState:
    """The state after all calls; a finished stage only reads its last checkpoint."""
    newest = checkpoints.latest(job.workdir.checkpoints(stage.name))
    restored = checkpoints.restore(newest, stage.like) if newest else None
    history = restored.history if restored else []
    if restored and len(history) >= stage.calls:
        progress.note(stage.title, "trained already")
        return restored.tree
    left = stage.calls - len(history)
    with (
        job.workdir.clock(stage.name),
        progress.phase(stage.title, total=left, unit=stage.unit) as bar,
    ):
        with bar.compiling():
            state, step = stage.start()
            state = restored.tree if restored else state  # the other one is dropped
            if stage.evaluate_every:
                job.evaluator()
        with _trail(job, stage, history, bar) as trail:
            state, _ = loop.run(
                step,
                state,
                steps=stage.calls,
                history=history,
                save_every=job.settings.save_every,
                evaluate_every=stage.evaluate_every,
                **trail._asdict(),
            )
    return state


@contextlib.contextmanager
def _trail(
    job: RunContext, stage: Stage, history: Sequence[Row], bar: progress.Phase
) -> Iterator[LoopCallbacks]:
    """Opens the stage's files where `history` left them, and closes them."""
    workdir, done = job.workdir, len(history)
    table = workdir.table(stage.name)
    csv_log.write(table, history)
    with (
        checkpoints.writer(workdir.checkpoints(stage.name)) as latest,
        tensorboard.board(workdir.board(stage.name), resumed_after=done) as write,
        _keeper(job, stage, done) as best,
    ):

        def report(row: Row) -> None:
            csv_log.append(table, row)
            write(row)
            latest.check()  # a full disk is heard of now, not at the next checkpoint
            bar.advance(1, **{name: row[name] for name in stage.shown})

        def save(state: TrainState, rows: list[Row]) -> None:
            if best is not None:
                best.writer.wait()  # resuming after this update will not redo it
            latest.save(state, rows)

        def evaluate(state: TrainState, rows: list[Row]) -> None:
            assert best is not None
            best.evaluate(state, rows)

        yield LoopCallbacks(report, save, evaluate)


def _keeper(
    job: RunContext, stage: Stage, done: int
) -> contextlib.AbstractContextManager[best_checkpoint.BestCheckpointer | None]:
    if not stage.evaluate_every:
        return contextlib.nullcontext()
    return best_checkpoint.keeper(job, stage.name, resumed_after=done)
