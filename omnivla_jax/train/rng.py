"""Independent random streams of a run, so that no phase meets another's states.

Every key of a run is `fold_in(stream(seed, name), step)`: resuming needs only the seed
and the step.
"""

import jax

STREAMS = (
    "init",
    "demonstrations",
    "action",
    "online",
    "evaluation",
    "timing",
    "adapters",
    "critic",
    "validation",
    "noise",
    "spatial",
    "scenes",
    "held_out_scenes",
    "attention",
    "selection",
)


def named_key(seed: int | jax.Array, name: str) -> jax.Array:
    """The typed key of one random stream.

    Args:
      seed: of the run.
      name: one of STREAMS.

    Returns:
      A typed key [].

    Raises:
      ValueError: unknown name.
    """
    if name not in STREAMS:
        raise ValueError(f"Unknown random stream {name!r}: choose one of {STREAMS}.")
    return jax.random.fold_in(jax.random.key(seed), STREAMS.index(name))
