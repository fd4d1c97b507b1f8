"""Seconds of a program that runs on the default device."""

import time
from typing import Any, Callable

import jax

REPEATS = 5


def fastest(run: Callable[[Any], Any], carry: Any = None) -> float:
    """Seconds of the fastest of five runs after one that compiles.

    Args:
      run: called with the result of the run before; with `carry` at first.
      carry: for the first run; a jitted `run` may donate it.
    """
    carry = jax.block_until_ready(run(carry))
    seconds = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        carry = jax.block_until_ready(run(carry))
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
