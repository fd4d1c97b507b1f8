"""Speed of the whole online loop: sampling, physics, rendering and the update.

Run: `python -m experiments.benchmarks.online [--config=experiments/configs/FILE.py]
[--config.rl.groups=16]`; prints one JSON object, see `lib/online_timing.py`.
"""

import json
from pathlib import Path

from absl import flags

from experiments.benchmarks.lib import online_timing
from experiments.configs.schema import from_config
from experiments.pipeline.run_context import make_scene
from experiments.reporting import errors
from omnivla_jax.train import environment

ROOT = Path(__file__).parents[2]

_CONFIG = errors.define_config(str(ROOT / "experiments" / "configs" / "quickstart.py"))
_UPDATES = flags.DEFINE_integer("updates", 3, "Timed updates.", lower_bound=1)


def main(argv: list[str]) -> None:
    """Measure and print."""
    del argv
    settings = from_config(_CONFIG.value)
    scene = make_scene(settings)
    size = settings.image_size
    simulator = environment.simulator(scene, settings.policy, size=size)
    measured = online_timing.measure(settings, simulator, _UPDATES.value)
    print(json.dumps({"benchmark": "online", "engine": scene.engine, **measured}))


if __name__ == "__main__":
    errors.run(main)
