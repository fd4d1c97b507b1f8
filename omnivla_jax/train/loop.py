"""The host's side of training: dispatch, watch, evaluate, checkpoint, resume.

The loop runs one step ahead of what it reads: step n + 1 is dispatched before the
metrics of step n are fetched, so that the accelerator never waits for the host.
"""

import math
import time
from typing import Any, Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import PyTree
from omnivla_jax.train.csv_log import Row

POLL_SECONDS = 0.01
MAX_NAMES = 3  # that are told of the terms which are not finite
# Told first: what else is not finite follows from them.
TERMS = ("surrogate", "kl_penalty", "value_loss", "loss")

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
) -> tuple[Any, list[Row]]:
    """Call `step_fn` until `steps` records are there, checkpointing on the way.

    Args:
      step_fn: state -> (state, scalar metrics), compiled; may donate the state.
      state: where `history` left it.
      steps: how many calls make the whole stage, those of `history` included.
      history: the records of the calls that were made before an interruption.
      save: called with (state, history) every `save_every` calls and after the last;
        it must have copied the state when it returns.
      evaluate: called likewise every `evaluate_every` calls (0: never), and before
        `save`, so that what a checkpoint precedes has been evaluated.
      report: called with each record once it is known; also where progress is shown.

    Returns:
      The last state and one record a call, numbered from 1 under "update".

    Raises:
      FloatingPointError: a metric or a number of the state is not finite; the update
        and the offending names are in the message. Nothing is saved after it.
    """
    rows, kept = list(history), len(history)
    pending: Mapping[str, jax.Array] | None = None

    def read(metrics: Mapping[str, jax.Array]) -> None:
        rows.append(_fetch(metrics, len(rows) + 1, kept))
        report(rows[-1])

    for done in range(len(rows) + 1, steps + 1):
        state, metrics = step_fn(state)
        if pending is not None:
            read(pending)
        pending = metrics
        evaluates = evaluate_every > 0 and done % evaluate_every == 0
        saves = done % save_every == 0 or done == steps
        if evaluates or saves:
            read(pending)
            pending = None
            _require_finite(state, done, kept)
        if evaluates:
            evaluate(state, list(rows))
        if saves:
            save(state, list(rows))
            kept = done
    return state, rows


def wait(tree: Any) -> Any:
    """Block until `tree` is computed, in naps: Ctrl-C is heard between them."""
    arrays = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array)]
    for leaf in arrays:
        while not leaf.is_ready():  # type: ignore[attr-defined]
            time.sleep(POLL_SECONDS)
    return tree


def _fetch(metrics: Mapping[str, jax.Array], update: int, kept: int) -> Row:
    """Metrics as floats; raises FloatingPointError naming those that are none."""
    values = jax.device_get(wait(dict(metrics)))
    row = {"update": float(update)}
    row |= {name: float(value) for name, value in values.items()}
    bad = {name: value for name, value in row.items() if not math.isfinite(value)}
    if bad:
        terms = [name for name in TERMS if name in bad]
        order = terms + [name for name in bad if name not in TERMS]
        told = [f"{name} is {bad[name]}" for name in order]
        raise FloatingPointError(_verdict(told, f"at update {update}", kept))
    return row


def _require_finite(state: Any, update: int, kept: int) -> None:
    """Raise FloatingPointError naming leaves that hold a number which is not finite.

    Metrics are of the parameters before an update: what it made of them may be bad
    while they are good, and must not become the newest checkpoint.
    """
    finite = jax.device_get(compilation.jit(_all_finite)(state))
    leaves = jax.tree_util.tree_leaves_with_path(finite)
    bad = [
        f"{jax.tree_util.keystr(path, simple=True, separator='.')} is not finite"
        for path, fine in leaves
        if not fine
    ]
    if bad:
        raise FloatingPointError(_verdict(bad, f"after update {update}", kept))


def _is_finite(leaf: jax.Array) -> jax.Array:
    counts = jnp.issubdtype(leaf.dtype, jnp.inexact)
    return jnp.all(jnp.isfinite(leaf)) if counts else jnp.ones((), bool)


def _all_finite(tree: PyTree) -> PyTree:
    """bool [] for every leaf."""
    return jax.tree.map(_is_finite, tree)


def _verdict(bad: Sequence[str], when: str, kept: int) -> str:
    shown = ", ".join(bad[:MAX_NAMES])
    more = f" and {len(bad) - MAX_NAMES} others" if len(bad) > MAX_NAMES else ""
    left = f"The checkpoint of update {kept} is kept." if kept else "None was kept yet."
    return f"{shown}{more} {when}: lower the learning rate or the clip norm. {left}"
