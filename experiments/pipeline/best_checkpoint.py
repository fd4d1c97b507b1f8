"""Keep-best: success on validation states now and then, and the best checkpoint.

The states come from a random stream of their own: what is chosen by them is judged on
the held-out states of the evaluation phases, which choose nothing.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from experiments.pipeline.run_context import RunContext
from experiments.reporting import tensorboard
from omnivla_jax.train import checkpoints, csv_log, evaluate
from omnivla_jax.train.csv_log import Row
from omnivla_jax.train.state import TrainState, evaluated

STREAM = "validation"


@dataclass(frozen=True)
class BestCheckpointer:
    """Evaluates a stage's state and keeps it where it beats every earlier one."""

    job: RunContext
    table: Path  # the CSV file of the validations
    write: tensorboard.Write
    writer: checkpoints.Writer  # into the folder of the best

    def evaluate(self, state: TrainState, rows: Sequence[Row]) -> None:
        """Record the success after the last of `rows`; ties keep the earlier one."""
        row = _success(self.job, state, update=len(rows))
        csv_log.append(self.table, row)
        self.write(row)
        self.writer.wait()
        best = self.writer.best_metrics()
        if best is None or row["success"] > best["success"]:
            # A resumed run evaluates updates again, also that of the best checkpoint.
            if len(rows) not in self.writer.steps():
                self.writer.save(state, rows, metrics=row)


@contextlib.contextmanager
def keeper(
    job: RunContext, stage: str, *, resumed_after: int
) -> Iterator[BestCheckpointer]:
    """Opens the files of a stage's validations; leaving completes the last save.

    What was evaluated beyond the update `resumed_after` will be again.
    """
    name = f"{stage}_validation"
    table = job.workdir.table(name)
    known = [row for row in csv_log.load(table) if row["update"] <= resumed_after]
    csv_log.write(table, known)
    board = tensorboard.board(job.workdir.board(name), resumed_after=resumed_after)
    saving = checkpoints.writer(
        job.workdir.best(stage), max_to_keep=1, best_metric="success"
    )
    with board as write, saving as writer:
        yield BestCheckpointer(job, table, write, writer)


def _success(job: RunContext, state: TrainState, *, update: int) -> Row:
    """Success with its 95 % interval on the validation states."""
    settings, config = job.settings, job.settings.validation
    outcome = evaluate.run(
        job.evaluator(),
        evaluated(state),
        state.normalizer,
        evaluate.eval_initial_states(
            settings.seed, settings.tasks, config, stream=STREAM
        ),
        config=config,
    )
    successes, diverged = int(outcome.success.sum()), int(outcome.diverged.sum())
    low, high = evaluate.wilson_interval(successes, config.episodes)
    return {
        "update": float(update),
        "success": successes / config.episodes,
        "low": low,
        "high": high,
        "diverged": float(diverged),
    }
