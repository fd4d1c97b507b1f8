"""The host's side of training: dispatch, watch, checkpoint, resume.

The loop runs one step ahead of what it reads: step n + 1 is dispatched before the
metrics of step n are fetched, so that the accelerator never waits for the host.
"""

import math
import time
from typing import Any, Callable, Mapping, Sequence

import jax

from omnivla_jax.train.metrics import Row

POLL_SECONDS = 0.01

Step = Callable[[Any], tuple[Any, Mapping[str, jax.Array]]]


def run(
    step_fn: Step,
    state: Any,
    *,
    steps: int,
    history: Sequence[Row] = (),
    save: Callable[[Any, list[Row]], Any],
    save_every: int,
    report: Callable[[Row], Any] = lambda row: None,
) -> tuple[Any, list[Row]]:
    """Call `step_fn` until `steps` records are there, checkpointing on the way.

    Args:
      step_fn: state -> (state, scalar metrics), compiled; may donate the state.
      state: where `history` left it.
      steps: how many calls make the whole stage, those of `history` included.
      history: the records of the calls that were made before an interruption.
      save: called with (state, history) every `save_every` calls and after the last.
      report: called with each record once it is known; also where progress is shown.

    Returns:
      The last state and one record a call, numbered from 1 under "update".

    Raises:
      FloatingPointError: a metric is not finite; nothing is saved after it.
    """
    rows = list(history)
    pending: Mapping[str, jax.Array] | None = None
    for index in range(len(rows), steps):
        state, metrics = step_fn(state)
        if pending is not None:
            rows.append(_fetch(pending, len(rows) + 1))
            report(rows[-1])
        pending = metrics
        if (index + 1) % save_every == 0 or index + 1 == steps:
            rows.append(_fetch(pending, len(rows) + 1))
            pending = None
            save(state, list(rows))
            report(rows[-1])
    return state, rows


def wait(tree: Any) -> Any:
    """Block until `tree` is computed, in naps: Ctrl-C is heard between them."""
    arrays = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)]
    for leaf in arrays:
        while not leaf.is_ready():  # type: ignore[attr-defined]
            time.sleep(POLL_SECONDS)
    return tree


def _fetch(metrics: Mapping[str, jax.Array], update: int) -> Row:
    """Metrics as floats; raises FloatingPointError naming the first bad one."""
    values = jax.device_get(wait(dict(metrics)))
    row = {"update": float(update)}
    row |= {name: float(value) for name, value in values.items()}
    for name, value in row.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} at update {update}: lower the learning rate or the "
                "clip norm. The last complete checkpoint precedes it."
            )
    return row
