"""Speed of the renderer, beside MuJoCo's own with the same primitives.

Run: `python -m experiments.benchmarks.renderer --suite=libero_goal --size=128
--num_envs=64`. Prints one JSON object; times are per environment for both cameras,
with the first lamp's hard shadows unless `--noshadows`. CPU times are sums over cores,
which vary less on a machine that does other work, too.
"""

import functools
import time
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.lib import mujoco_renderer
from experiments.benchmarks.lib.flags import make_scene, print_report
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env, rotation
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.world import observe, visual_scene

_SUITE = flags.DEFINE_string("suite", "libero_goal", "Suite of the scene.")
_SIZE = flags.DEFINE_integer("size", 128, "Image side, pixels.")
_ENVIRONMENTS = flags.DEFINE_integer("num_envs", 64, "Environments drawn at once.")
_SHADOWS = flags.DEFINE_bool("shadows", True, "Whether lamps cast shadows.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed runs, of which the fastest counts.")
_CHUNK = flags.DEFINE_integer("chunk", 0, "Images a GPU draws at once; 0: all.")
_STEPS = flags.DEFINE_integer("steps", 20, "Control steps of a policy-ready run.")
BASELINE_ENVIRONMENTS = 8  # that MuJoCo draws


def timed(program: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest run, after one that compiles."""
    jax.block_until_ready(program())
    walls, cpus = [], []
    for _ in range(_ROUNDS.value):
        wall, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(program())
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def drawing(visuals: visual_scene.VisualScene, start: EnvState) -> Any:
    """The compiled program that draws every camera of a batch like `start`."""
    draw = functools.partial(
        observe.render_images,
        visuals,
        size=_SIZE.value,
        outputs=("rgb",),
        shadows=_SHADOWS.value,
        chunk=_CHUNK.value or None,
    )
    program = compilation.jit(lambda physics: draw(physics).rgb, fused=True)
    return program.lower(start.physics).compile()


def rollout(
    scene: Scene, visuals: visual_scene.VisualScene, start: EnvState, size: int
) -> Any:
    """Control steps, each followed by both images, without shadows as for policies."""

    def one(state: EnvState, key: jax.Array) -> tuple[EnvState, jax.Array]:
        shape = (state.task.shape[0], env.ACTION_SIZE)
        action = jax.random.uniform(key, shape, minval=-0.5, maxval=0.5)
        after, _ = env.step(scene, state, action)
        images = observe.images(visuals, after.physics, size=size)
        return after, jnp.mean(images, dtype=jnp.float32)

    keys = jax.random.split(jax.random.key(0), _STEPS.value)
    return jax.lax.scan(one, start, keys)


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
    task = jnp.array([scene.task_ids[i % len(scene.task_ids)] for i in range(count)])
    keys = jax.random.split(jax.random.key(0), count)
    start = compilation.jit(lambda: env.reset(scene, task, keys))()
    draw = drawing(visuals, start)
    wall, cpu = timed(lambda: draw(start.physics))
    run = compilation.jit(
        lambda state: rollout(scene, visuals, state, size),
        fused=ENGINES[scene.engine].supports_fusion,
    )
    step_wall, step_cpu = timed(lambda: run(start))
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
