"""Integrator presets: the solver options that a model is compiled with."""

from typing import NamedTuple


class IntegratorPreset(NamedTuple):
    """How finely the physics is integrated; `substeps * timestep` is 50 ms."""

    timestep: float  # s
    substeps: int
    iterations: int  # Newton
    ls_iterations: int
    explicit_damping: bool
    refresh: int  # substeps that share one update of the controller's matrices


# LIBERO updates the controller's matrices in every substep. Every 25 ms keeps the
# outcome of recorded episodes; once a control step does not.
PRESETS: dict[str, IntegratorPreset] = {
    "original": IntegratorPreset(0.002, 25, 100, 50, False, 1),
    "faithful": IntegratorPreset(0.005, 10, 4, 50, True, 5),
    "fast": IntegratorPreset(0.00625, 8, 2, 50, True, 4),
}
