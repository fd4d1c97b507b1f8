"""How fast we draw, beside MuJoCo's own renderer with the same primitives.

Run: `python -m experiments.benchmarks.renderer --suite=libero_goal --size=128
--num_envs=64`. Prints one JSON object; times are per environment for both cameras,
with the first lamp's hard shadows unless `--noshadows`. CPU times add up all cores:
on a machine that does other work too, they are the steadier numbers.
"""

import time
from typing import Any, Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.lib import mujoco_renderer
from experiments.benchmarks.lib.flags import make_scene, print_report
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState, PhysicsState
from omnivla_jax.world import observe
from omnivla_jax.world import visual_scene as looks

_SUITE = flags.DEFINE_string("suite", "libero_goal", "Whose scene is drawn.")
_SIZE = flags.DEFINE_integer("size", 128, "Image side, pixels.")
_ENVIRONMENTS = flags.DEFINE_integer("num_envs", 64, "Environments drawn at once.")
_SHADOWS = flags.DEFINE_bool("shadows", True, "Whether the first lamp casts shadows.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "The fastest of how many runs counts.")
_CHUNK = flags.DEFINE_integer("chunk", 0, "Pictures a GPU draws at once; 0: all.")
_STEPS = flags.DEFINE_integer("steps", 20, "Control steps of a policy-ready run.")
BASELINE_ENVIRONMENTS = 8  # whose pictures MuJoCo draws


def timed(program: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of some runs, after one that compiles."""
    jax.block_until_ready(program())
    found = []
    for _ in range(_ROUNDS.value):
        wall, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(program())
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)


def drawing(look: looks.Look, start: EnvState) -> Any:
    """The compiled program that draws every camera of a batch like `start`."""

    def draw(physics: PhysicsState) -> jax.Array:
        return observe.render_images(
            look,
            physics,
            size=_SIZE.value,
            outputs=("rgb",),
            shadows=_SHADOWS.value,
            chunk=_CHUNK.value or None,
        ).rgb

    return compilation.jit(draw, fused=True).lower(start.physics).compile()


def rollout(scene: Scene, look: looks.Look, start: EnvState, size: int) -> Any:
    """Control steps with both cameras after each; without shadows, as policies see."""

    def one(state: EnvState, key: jax.Array) -> tuple[EnvState, jax.Array]:
        shape = (state.task.shape[0], env.ACTION_SIZE)
        action = jax.random.uniform(key, shape, minval=-0.5, maxval=0.5)
        after, _ = env.step(scene, state, action)
        drawn = observe.images(look, after.physics, size=size)
        return after, jnp.mean(drawn, dtype=jnp.float32)

    keys = jax.random.split(jax.random.key(0), _STEPS.value)
    return jax.lax.scan(one, start, keys)


def mujoco_baseline(scene: Scene, look: looks.Look, start: EnvState) -> Any:
    """MuJoCo's pictures of the first environments, or None."""
    few = jax.tree.map(lambda leaf: leaf[:BASELINE_ENVIRONMENTS], start.physics)
    cameras = [looks.camera(mount, few) for mount in look.cameras]
    posed = (few.xpos, looks.body_rotations(few), cameras)
    posed = jax.tree.map(np.asarray, posed)
    return mujoco_renderer.draw(
        scene.visual_model, *posed, size=_SIZE.value, shadows=_SHADOWS.value
    )


def _beside(
    theirs: mujoco_renderer.Pictures | None, views: int, wall: float, cpu: float
) -> dict[str, float | None]:
    """MuJoCo's times per environment, and by how much ours are shorter."""
    if theirs is None:
        return {"ratio_to_mujoco": None}
    their_wall, their_cpu = views * theirs.milliseconds, views * theirs.cpu_milliseconds
    return {
        "mujoco_ms_per_environment": their_wall,
        "mujoco_cpu_ms_per_environment": their_cpu,
        "ratio_to_mujoco": their_wall / (1e3 * wall),
        "cpu_ratio_to_mujoco": their_cpu / (1e3 * cpu),
    }


def main(argv: Sequence[str]) -> None:
    """Time our pictures, MuJoCo's and a policy-ready control step."""
    del argv
    scene = make_scene(_SUITE.value)
    look, count, size = looks.look(scene), _ENVIRONMENTS.value, _SIZE.value
    task = jnp.array([scene.playable[i % len(scene.playable)] for i in range(count)])
    keys = jax.random.split(jax.random.key(0), count)
    start = compilation.jit(lambda: env.reset(scene, task, keys))()
    draw = drawing(look, start)
    wall, cpu = timed(lambda: draw(start.physics))
    play = compilation.jit(
        lambda state: rollout(scene, look, state, size),
        fused=ENGINES[scene.engine].supports_fusion,
    )
    step_wall, step_cpu = timed(lambda: play(start))
    theirs = mujoco_baseline(scene, look, start)
    steps = count * _STEPS.value
    found = {
        "ms_per_environment": 1e3 * wall / count,
        "cpu_ms_per_environment": 1e3 * cpu / count,
        "frames_per_second": len(look.cameras) * count / wall,
        "temporary_megabytes": draw.memory_analysis().temp_size_in_bytes / 1e6,
        **_beside(theirs, len(look.cameras), wall / count, cpu / count),
        "policy_ready_control_steps_per_second": steps / step_wall,
        "policy_ready_cpu_ms_per_step": 1e3 * step_cpu / steps,
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
        mujoco_backend=theirs and str(theirs.backend),
        **{name: value and round(float(value), 3) for name, value in found.items()},
    )


if __name__ == "__main__":
    app.run(main)
