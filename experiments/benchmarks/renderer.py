"""Speed of the renderer, beside MuJoCo's own with the same primitives.

Run: `python -m experiments.benchmarks.renderer --suite=libero_goal --size=128
--num_envs=64`. Prints one JSON object; times are per environment for both cameras,
with the first lamp's hard shadows unless `--noshadows`. CPU times are sums over cores,
which vary less on a machine that does other work, too.
"""

import functools
from typing import Any, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.lib import mujoco_renderer, timing
from experiments.benchmarks.lib.flags import make_scene, print_report
from experiments.benchmarks.lib.random_rollout import initial_states, rollout
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import rotation
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.world import observe, visual_scene

_SUITE = flags.DEFINE_string("suite", "libero_goal", "Suite of the scene.")
_SIZE = flags.DEFINE_integer("size", 128, "Image side, pixels.")
_ENVIRONMENTS = flags.DEFINE_integer("num_envs", 64, "Environments drawn at once.")
_SHADOWS = flags.DEFINE_bool("shadows", True, "Whether lamps cast shadows.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed runs, of which the fastest counts.")
_STEPS = flags.DEFINE_integer("steps", 20, "Control steps of a policy-ready run.")
BASELINE_ENVIRONMENTS = 8  # that MuJoCo draws


def drawing(visuals: visual_scene.VisualScene, start: EnvState) -> Any:
    """The compiled program that draws every camera of a batch like `start`."""
    draw = functools.partial(
        observe.render_images,
        visuals,
        size=_SIZE.value,
        outputs=("rgb",),
        shadows=_SHADOWS.value,
    )
    program = compilation.jit(lambda physics: draw(physics).rgb, fused=True)
    return program.lower(start.physics).compile()


def mujoco_baseline(
    scene: Scene, visuals: visual_scene.VisualScene, start: EnvState
) -> mujoco_renderer.MujocoImages | None:
    """MuJoCo's images of the first environments; None where it cannot draw."""
    few = jax.tree.map(lambda leaf: leaf[:BASELINE_ENVIRONMENTS], start.physics)
    cameras = [visual_scene.mounted_camera(mount, few) for mount in visuals.cameras]
    posed = (few.xpos, rotation.matrix(few.xquat, jnp), cameras)
    posed = jax.tree.map(np.asarray, posed)
    return mujoco_renderer.draw(
        scene.visual_model, *posed, size=_SIZE.value, shadows=_SHADOWS.value
    )


def main(argv: Sequence[str]) -> None:
    """Time our images, MuJoCo's, and control steps with images for a policy."""
    del argv
    scene = make_scene(_SUITE.value)
    visuals, count, size = visual_scene.make(scene), _ENVIRONMENTS.value, _SIZE.value
    start, key = initial_states(scene, count), jax.random.key(0)
    draw = drawing(visuals, start)
    fastest = functools.partial(timing.fastest, repeats=_ROUNDS.value)
    wall, cpu = fastest(lambda _: draw(start.physics))
    run = functools.partial(
        rollout, scene, steps=_STEPS.value, reach=0.5, visuals=visuals, size=size
    )
    fused = ENGINES[scene.engine].supports_fusion
    program, _ = timing.compiled(run, start, key, fused=fused)
    step_wall, step_cpu = fastest(lambda _: program(start, key))
    views, steps = len(visuals.cameras), count * _STEPS.value
    numbers: dict[str, float | None] = {
        "ms_per_environment": 1e3 * wall / count,
        "cpu_ms_per_environment": 1e3 * cpu / count,
        "frames_per_second": views * count / wall,
        "temporary_megabytes": draw.memory_analysis().temp_size_in_bytes / 1e6,
        "ratio_to_mujoco": None,
        "policy_ready_control_steps_per_second": steps / step_wall,
        "policy_ready_cpu_ms_per_step": 1e3 * step_cpu / steps,
    }
    baseline = mujoco_baseline(scene, visuals, start)
    if baseline is not None:
        mujoco_ms = views * baseline.milliseconds
        mujoco_cpu_ms = views * baseline.cpu_milliseconds
        numbers |= {
            "mujoco_ms_per_environment": mujoco_ms,
            "mujoco_cpu_ms_per_environment": mujoco_cpu_ms,
            "ratio_to_mujoco": mujoco_ms / (1e3 * wall / count),
            "cpu_ratio_to_mujoco": mujoco_cpu_ms / (1e3 * cpu / count),
        }
    print_report(
        "renderer",
        scene.engine,
        suite=_SUITE.value,
        size=size,
        num_envs=count,
        shadows=_SHADOWS.value,
        primitives=int((scene.visual_model.geom_group == 0).sum()),
        device=jax.devices()[0].device_kind,
        mujoco_backend=baseline and str(baseline.backend),
        **{name: x if x is None else round(float(x), 3) for name, x in numbers.items()},
    )


if __name__ == "__main__":
    app.run(main)
