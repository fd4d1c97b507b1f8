"""Validation of a training stage, and the checkpoint with the best validation success.

The validation states come from a random stream of their own: the best checkpoint is
chosen on them and judged on the held-out states of the evaluation phases.
"""

import contextlib
from typing import Any, Callable, Iterator, Mapping, Sequence

from experiments.pipeline.run_context import RunContext
from experiments.pipeline.workdir import BEST
from experiments.reporting import tensorboard
from omnivla_jax.train import checkpoints, csv_log, evaluate
from omnivla_jax.train.csv_log import Row
from omnivla_jax.train.state import TrainState, eval_params

STREAM = "validation"

# (state, history up to it): evaluates the state and saves it where it is the best.
Validate = Callable[[TrainState, Sequence[Row]], None]


@contextlib.contextmanager
def best_checkpointer(
    context: RunContext,
    stage: str,
    *,
    resumed_after: int,
    policy: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Validate, checkpoints.Writer]]:
    """Open the validation files of a stage; leaving completes the last save.

    Args:
      context: of the run.
      stage: name of the training stage.
      resumed_after: updates of the checkpoint that training resumes from; validations
        beyond it are dropped, because they are made again.
      policy: description of the policy in the checkpoints, for inference.

    Yields:
      `validate(state, history)`, which keeps the earlier state on a tie, and the writer
      of the best checkpoints.
    """
    workdir, name = context.workdir, f"{stage}_validation"
    metrics_file = workdir.metrics_file(name)
    earlier = [r for r in csv_log.load(metrics_file) if r["update"] <= resumed_after]
    csv_log.write(metrics_file, earlier)
    board = tensorboard.board(workdir.tensorboard(name), resumed_after=resumed_after)
    saving = checkpoints.writer(
        workdir.checkpoints(f"{stage}{BEST}"),
        max_to_keep=1,
        best_metric="success",
        policy=policy,
    )
    with board as write_scalars, saving as writer:

        def validate(state: TrainState, history: Sequence[Row]) -> None:
            row = _validation_success(context, state, update=len(history))
            csv_log.append(metrics_file, row)
            write_scalars(row)
            writer.wait()
            best = writer.best_metrics()
            if best is None or row["success"] > best["success"]:
                # A resumed run validates updates again, also that of the best one.
                if len(history) not in writer.steps():
                    writer.save(state, history, metrics=row)

        yield validate, writer


def _validation_success(context: RunContext, state: TrainState, *, update: int) -> Row:
    """Success on the validation states with its 95 % interval."""
    config = context.config
    result = evaluate.run(
        context.evaluate_fn(),
        eval_params(state),
        state.normalizer,
        evaluate.eval_initial_states(
            config.seed, config.tasks, config.validation, stream=STREAM
        ),
        config=config.validation,
    )
    successes, episodes = int(result.success.sum()), config.validation.episodes
    low, high = evaluate.wilson_interval(successes, episodes)
    return {
        "update": float(update),
        "success": successes / episodes,
        "low": low,
        "high": high,
        "diverged": float(result.diverged.sum()),
    }
