"""Seconds of a program on the default device: to compile it, and of its fastest run."""

import time
from typing import Any, Callable, NamedTuple

import jax

from omnivla_jax.core import compile as compilation

REPEATS = 5


class Seconds(NamedTuple):
    """Of the fastest run; CPU time is summed over cores."""

    wall: float
    cpu: float


def compiled(
    function: Callable[..., Any], *arguments: Any, fused: bool = False
) -> tuple[Any, float]:
    """`function` compiled for `arguments`, and the seconds of tracing and compiling."""
    begin = time.perf_counter()
    program = compilation.jit(function, fused=fused).lower(*arguments).compile()
    return program, time.perf_counter() - begin


def fastest(
    run: Callable[[Any], Any], carry: Any = None, *, repeats: int = REPEATS
) -> Seconds:
    """The fastest of some runs after one that compiles.

    Args:
      run: called with the result of the run before; with `carry` at first.
      carry: for the first run; a jitted `run` may donate it.
      repeats: timed runs.
    """
    carry = jax.block_until_ready(run(carry))
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        carry = jax.block_until_ready(run(carry))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Seconds(min(walls), min(cpus))
