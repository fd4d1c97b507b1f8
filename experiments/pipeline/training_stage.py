"""Runs a training stage from its last checkpoint to its end.

Metrics go to a CSV file and to TensorBoard, the state to checkpoints; every
`evaluate_every` calls the state is validated and the best one kept. On resuming,
records beyond the last checkpoint are made again.
"""

import contextlib
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from experiments.pipeline.best_checkpoint import best_checkpointer
from experiments.pipeline.run_context import RunContext
from experiments.reporting import progress, tensorboard
from omnivla_jax.train import checkpoints, csv_log, loop, preemption
from omnivla_jax.train.csv_log import Row
from omnivla_jax.train.state import TrainState


@dataclass(frozen=True)
class TrainingStage:
    """A training stage: its names, its length and how it starts."""

    name: str  # of its files
    title: str  # of its progress bar
    unit: str  # name of one call of the step: "step", "call" or "update"
    num_calls: int
    abstract_state: TrainState  # shapes, with shardings on a mesh
    init: Callable[[], tuple[TrainState, loop.Step]]  # compiles the step
    displayed_metrics: tuple[str, ...]  # beside the progress bar
    evaluate_every: int = 0  # calls between two validations; 0: never
    policy: Mapping[str, Any] | None = None  # of its checkpoints, for inference


def run(context: RunContext, stage: TrainingStage) -> TrainState:
    """Train to the end of a stage; of a finished stage only read the last checkpoint.

    Args:
      context: of the run.
      stage: the stage to train.

    Returns:
      The state after `stage.num_calls` calls of the step.

    Raises:
      FloatingPointError: a metric or the state is not finite; see `loop.run`.
      Preempted: SIGTERM has come; the last step is saved.
    """
    workdir = context.workdir
    newest = checkpoints.latest(workdir.checkpoints(stage.name))
    restored = checkpoints.restore(newest, stage.abstract_state) if newest else None
    history = restored.history if restored else []
    if restored and len(history) >= stage.num_calls:
        progress.note(stage.title, "trained already")
        return restored.tree
    with (
        workdir.timer(stage.name),
        progress.phase(
            stage.title, total=stage.num_calls - len(history), unit=stage.unit
        ) as bar,
    ):
        with bar.compiling():
            state, step = stage.init()
            state = restored.tree if restored else state
            if stage.evaluate_every:
                context.evaluate_fn()
        return _train(context, stage, state, step, history, bar)


def _train(
    context: RunContext,
    stage: TrainingStage,
    state: TrainState,
    step: loop.Step,
    history: list[Row],
    bar: progress.ProgressBar,
) -> TrainState:
    """Call `step` to the end of the stage, with all its files open."""
    workdir, num_done = context.workdir, len(history)
    metrics_file = workdir.metrics_file(stage.name)
    csv_log.write(metrics_file, history)
    with contextlib.ExitStack() as files:
        latest = files.enter_context(
            checkpoints.writer(workdir.checkpoints(stage.name), policy=stage.policy)
        )
        write_scalars = files.enter_context(
            tensorboard.board(workdir.tensorboard(stage.name), resumed_after=num_done)
        )
        validate, best = None, None
        if stage.evaluate_every:
            checkpointer = best_checkpointer(
                context, stage.name, resumed_after=num_done, policy=stage.policy
            )
            validate, best = files.enter_context(checkpointer)

        stop_requested = files.enter_context(preemption.watch())

        def report(row: Row) -> None:
            csv_log.append(metrics_file, row)
            write_scalars(row)
            latest.check()  # raises on a full disk before the next checkpoint
            bar.advance(1, **{name: row[name] for name in stage.displayed_metrics})

        def save(state: TrainState, rows: list[Row]) -> None:
            if best is not None:
                best.wait()  # resuming after this update does not validate it again
            latest.save(state, rows)
            workdir.publish()

        state, _ = loop.run(
            step,
            state,
            steps=stage.num_calls,
            history=history,
            save=save,
            save_every=context.config.save_every,
            evaluate=validate or (lambda state, rows: None),
            evaluate_every=stage.evaluate_every,
            report=report,
            stop_requested=stop_requested,
        )
    return state
