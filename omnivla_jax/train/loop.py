"""The host's side of training: dispatch, watch, evaluate, checkpoint, resume.

The loop runs one step ahead of the metrics that it reads: step n + 1 is dispatched
before those of step n are fetched, so that the accelerator never waits for the host.
"""

import math
import time
from typing import Any, Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.core import exits
from omnivla_jax.core.types import PyTree
from omnivla_jax.train.csv_log import Row

POLL_SECONDS = 0.01
MAX_NAMES = 3  # of terms that are not finite, in a message
# Named first: other terms that are not finite follow from them.
CAUSES = ("surrogate", "kl_penalty", "value_loss", "loss")

Step = Callable[[Any], tuple[Any, Mapping[str, jax.Array]]]


def run(
    step_fn: Step,
    state: Any,
    *,
    steps: int,
    history: Sequence[Row] = (),
    save: Callable[[Any, list[Row]], Any],
    save_every: int,
    evaluate: Callable[[Any, list[Row]], Any] = lambda state, rows: None,
    evaluate_every: int = 0,
    report: Callable[[Row], Any] = lambda row: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> tuple[Any, list[Row]]:
    """Call `step_fn` until there are `steps` records, checkpointing on the way.

    Args:
      step_fn: state -> (state, scalar metrics), compiled; may donate the state.
      state: the state after `history`.
      steps: number of calls of the whole stage, those of `history` included.
      history: the records of the calls that were made before an interruption.
      save: called with (state, history), also after the last call; copies the state.
      evaluate: called likewise and before `save`: what is saved has been evaluated.
      save_every, evaluate_every: calls between two of them; 0: no evaluation.
      report: called with each record once it is known.
      stop_requested: called once a step; True saves after it and ends the run.

    Returns:
      The last state and one record a call, numbered from 1 under "update".

    Raises:
      FloatingPointError: a metric or a number of the state is not finite, and named.
      Preempted: `stop_requested` was True.
    """
    rows, last_saved_step = list(history), len(history)
    pending: Mapping[str, jax.Array] | None = None

    def read(metrics: Mapping[str, jax.Array]) -> None:
        rows.append(_fetch(metrics, len(rows) + 1, last_saved_step))
        report(rows[-1])

    for number in range(len(rows) + 1, steps + 1):
        state, metrics = step_fn(state)
        if pending is not None:
            read(pending)
        pending = metrics
        stops = stop_requested()
        evaluates = evaluate_every > 0 and number % evaluate_every == 0
        saves = stops or number % save_every == 0 or number == steps
        if evaluates or saves:
            read(pending)
            pending = None
            _require_finite(state, number, last_saved_step)
        if evaluates:
            evaluate(state, list(rows))
        if saves:
            save(state, list(rows))
            last_saved_step = number
        if stops:
            raise exits.Preempted(number)
    return state, rows


def block_until_ready(tree: Any) -> Any:
    """`jax.block_until_ready` by polling, so that Ctrl-C is handled meanwhile."""
    arrays = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)]
    for leaf in arrays:
        while not leaf.is_ready():  # type: ignore[attr-defined]
            time.sleep(POLL_SECONDS)
    return tree


def _fetch(metrics: Mapping[str, jax.Array], update: int, last_saved_step: int) -> Row:
    """Metrics as floats; raises FloatingPointError naming those that are not finite."""
    values = jax.device_get(block_until_ready(dict(metrics)))
    row = {"update": float(update)}
    row |= {name: float(value) for name, value in values.items()}
    bad = {name: value for name, value in row.items() if not math.isfinite(value)}
    if bad:
        causes = [name for name in CAUSES if name in bad]
        order = causes + [name for name in bad if name not in CAUSES]
        problems = [f"{name} is {bad[name]}" for name in order]
        raise FloatingPointError(
            _nonfinite_message(problems, f"at update {update}", last_saved_step)
        )
    return row


def _require_finite(state: Any, update: int, last_saved_step: int) -> None:
    """Raise FloatingPointError naming leaves that hold a number that is not finite.

    Metrics are of the parameters before an update: they may be finite while the updated
    parameters are not, which must not become the newest checkpoint.
    """
    is_finite = jax.device_get(compilation.jit(_all_finite)(state))
    problems = [
        f"{jax.tree_util.keystr(path, simple=True, separator='.')} is not finite"
        for path, finite in jax.tree_util.tree_leaves_with_path(is_finite)
        if not finite
    ]
    if problems:
        raise FloatingPointError(
            _nonfinite_message(problems, f"after update {update}", last_saved_step)
        )


def _all_finite(tree: PyTree) -> PyTree:
    """bool [] for every leaf; at the module's level, so that it is compiled once."""

    def is_finite(leaf: jax.Array) -> jax.Array:
        inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
        return jnp.all(jnp.isfinite(leaf)) if inexact else jnp.ones((), bool)

    return jax.tree.map(is_finite, tree)


def _nonfinite_message(problems: Sequence[str], when: str, last_saved_step: int) -> str:
    listed = ", ".join(problems[:MAX_NAMES])
    rest = len(problems) - MAX_NAMES
    more = f" and {rest} others" if rest > 0 else ""
    saved = (
        f"The checkpoint of update {last_saved_step} is kept."
        if last_saved_step
        else "None was kept yet."
    )
    return f"{listed}{more} {when}: lower the learning rate or the clip norm. {saved}"
