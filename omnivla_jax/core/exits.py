"""Ends of a process that belongs to a run of several, or whose machine goes away.

Imports nothing, so that a launcher that refuses its flags does not wait for JAX.
"""

import os
import signal
import sys
import threading

# Exit codes, as shells report processes that these signals ended; schedulers start such
# again. JAX itself ends a process by SIGABRT when it finds another one gone.
PREEMPTED, PEER_LOST = 128 + signal.SIGTERM, 128 + signal.SIGABRT

HAS_PEERS = threading.Event()  # set once, where `distributed.initialize` joins others


class Preempted(Exception):
    """Training has stopped after a step, which is saved, because of SIGTERM."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"Stopped by SIGTERM. The checkpoint of update {step} is saved: run the "
            "same command with --resume to continue."
        )
        self.step = step


def leave(code: int, *, last_words: str = "") -> None:
    """End this process at once if it has joined others, after an error of its own.

    At a usual exit JAX waits for all processes to come there, for five minutes, while
    the others wait for this one somewhere else.

    Args:
      code: of the exit.
      last_words: to print on stderr before.
    """
    if HAS_PEERS.is_set():
        print(last_words, end="", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(code)
