"""Times a whole step of stage I on the default device, and what drawing takes of it.

Run: `python -m experiments.benchmarks.spatial --preset=tiny --scenes=64`; prints one
JSON object. `step` is the compiled step, which draws, renders and learns; `drawing` is
its first part, compiled alone. Fresh layouts of libero_goal under everything that
training varies; the fastest of five runs counts. CPU times are sums over cores, which
vary less on a machine that does other work, too. `matmul_gflop` are the matrix products
of a scene, which with `peak_gflops` of the device bound the scenes a second.
"""

import json
from typing import Any, Sequence

import jax
from absl import app, flags

from experiments.benchmarks.lib import flops, timing
from omnivla_jax.core import precision
from omnivla_jax.policy.config import PRESETS, PolicyConfig, preset
from omnivla_jax.sim import scene as suite_scenes
from omnivla_jax.train import rng, sft, spatial
from omnivla_jax.train.spatial import scenes as spatial_scenes
from omnivla_jax.train.state import OptimizerConfig
from omnivla_jax.world.random_scenes import SceneRanges

_SPATIAL_PRESET = flags.DEFINE_enum(
    "spatial_preset", "tiny", list(PRESETS), "Preset of the policy."
)
_SCENES = flags.DEFINE_integer("scenes", 64, "Scenes of a step.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    del argv
    measured = measure(preset(_SPATIAL_PRESET.value), scenes=_SCENES.value)
    settings = {"preset": _SPATIAL_PRESET.value, "scenes": _SCENES.value}
    device = {
        "device": jax.devices()[0].device_kind,
        "dtype": precision.compute_dtype().name,
    }
    print(json.dumps({"benchmark": "spatial", **settings, **measured, **device}))


def measure(config: PolicyConfig, *, scenes: int) -> dict[str, Any]:
    """Seconds of a step and of its drawing, the latter's share, and scenes a second.

    Args:
      config: of the policy, with a spatial expert.
      scenes: of a step.
    """
    draw = spatial_scenes.mixed([_draw_suite(config)], SceneRanges())
    training = spatial.SpatialConfig(
        OptimizerConfig(learning_rate=1e-3),
        steps=1,
        batch_size=scenes,
        steps_per_call=1,
    )
    params = sft.fresh_params(rng.named_key(0, "init"), config)
    state = spatial.create(params, None, training, config, seed=0)
    step = spatial.make_step(draw, training, config)
    matmul = flops.count(step, state) / scenes
    peak, _ = flops.peak()
    keys = jax.random.split(jax.random.key(0), scenes)
    program, compile_seconds = timing.compiled(draw, keys, fused=True)
    drawing = timing.fastest(lambda _: program(keys))
    whole = timing.fastest(lambda carry: step(carry)[0], state)
    return {
        "step_seconds": round(whole.wall, 3),
        "step_cpu_seconds": round(whole.cpu, 3),
        "drawing_seconds": round(drawing.wall, 3),
        "drawing_cpu_seconds": round(drawing.cpu, 3),
        "drawing_share": round(drawing.cpu / whole.cpu, 3),
        "scenes_per_second": round(scenes / whole.wall, 1),
        "drawing_compile_seconds": round(compile_seconds, 1),
        "matmul_gflop": round(matmul / 1e9, 3),
        "peak_gflops": round(peak / 1e9, 1),
        "bound_scenes_per_second": round(peak / matmul, 1),
        "target_scenes_per_second": 150,
    }


def _draw_suite(config: PolicyConfig) -> spatial_scenes.DrawSuite:
    """Draws scenes of libero_goal at the size of the policy's pictures."""
    scene = suite_scenes.make("libero_goal", engine="mujoco")
    return spatial_scenes.make_draw(
        scene, config, size=config.vision.image_size, pool=None
    )


if __name__ == "__main__":
    app.run(main)
