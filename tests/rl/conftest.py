"""Runs the reinforcement-learning room's tests under strict dtypes and ranks."""

from typing import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def strict_numerics() -> Iterator[None]:
    """Implicit casts and implicit new axes are errors."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield
