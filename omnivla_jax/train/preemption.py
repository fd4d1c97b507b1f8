"""SIGTERM, by which a machine is announced to go away: all processes stop together.

with preemption.watch() as requested:
    while training:
        ...
        if requested():  # after every step, in every process
            save()
            raise exits.Preempted(step)
"""

import contextlib
import itertools
import signal
import threading
from typing import Callable, Iterator

import jax
from jax.experimental import multihost_utils

# Calls of `requested` in this process, over all stages: the step that all processes
# agree on is the one after the largest number that any of them has reached.
_CALLS = itertools.count(1)


@contextlib.contextmanager
def watch() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM from an end at once into one after a step.

    Yields:
      `requested()`, whether to save and stop now. With several processes it is a
      collective: once one of them was signalled, all get True after the same step.
    """
    if jax.process_count() > 1:
        # JAX's own handler is there since `jax.distributed.initialize`.
        yield lambda: multihost_utils.reached_preemption_sync_point(next(_CALLS))
        return
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield received.is_set  # only a main thread may handle signals
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.set())
    try:
        yield received.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
