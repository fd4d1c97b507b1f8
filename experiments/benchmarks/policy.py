"""Times of a policy's prefix, denoising and training steps on the default device.

Run: `python -m experiments.benchmarks.policy --preset=tiny --batch=8 --steps=10`;
prints one JSON object, see `lib/policy_timing.py`. `--steps` are denoising steps. JAX
takes three quarters of a GPU's memory: `XLA_PYTHON_CLIENT_MEM_FRACTION=0.95` lets it
take more, which `--preset=full` needs on 80 GB (not yet measured there).
"""

import json
from typing import Sequence

import jax
from absl import app, flags

from experiments.benchmarks.lib.policy_timing import measure
from omnivla_jax.core import precision
from omnivla_jax.policy.config import PRESETS, preset

_PRESET = flags.DEFINE_enum("preset", "tiny", list(PRESETS), "Preset of the policy.")
_BATCH = flags.DEFINE_integer("batch", 8, "Observations in a batch.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 10, "Denoising steps.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    del argv
    measured = measure(preset(_PRESET.value), batch=_BATCH.value, steps=_STEPS.value)
    settings = {"preset": _PRESET.value, "batch": _BATCH.value, "steps": _STEPS.value}
    device = {
        "device": jax.devices()[0].device_kind,
        "dtype": precision.compute_dtype().name,
    }
    print(json.dumps({"benchmark": "policy", **settings, **measured, **device}))


if __name__ == "__main__":
    app.run(main)
