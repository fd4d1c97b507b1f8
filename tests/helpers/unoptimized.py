"""Compiling for tests: what is tiny and runs once or twice needs no optimising."""

from typing import Any, Callable

import jax

from omnivla_jax.core import compile as compilation

OPTIONS = compilation.CPU_OPTIONS | compilation.NO_OPTIMIZATION


def jit(function: Callable[..., Any], **named: Any) -> Any:
    """`jax.jit`, which XLA then translates in a fraction of the time."""
    return jax.jit(function, compiler_options=OPTIONS, **named)
