"""Control steps a second of the simulator, controller included.

Run: `python -m experiments.benchmarks.simulator --suite=libero_goal --num_envs=64`
with `--engine=mjx|mujoco`, `--physics_preset=...`, `--tasks=4` and `--against=mujoco`,
which runs both engines in one run and adds their ratio. Prints one JSON object.
Random actions after a reset, no cameras, one jitted scan; the best of five.
`bare_steps_per_second` measures the machine: C MuJoCo's own `mj_step` on one thread,
for one environment of the same scene at rest, without a controller.
`cached_compile_seconds` is a second compilation from JAX's disk cache, with tracing.
"""

import functools
import tempfile
from pathlib import Path
from typing import Any, Sequence

import jax
import mujoco
from absl import app, flags

from experiments.benchmarks.lib import timing
from experiments.benchmarks.lib.flags import chosen_engine, make_scene, print_report
from experiments.benchmarks.lib.random_rollout import initial_states, rollout
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim.engines import mujoco as engine_mujoco
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.scene import Scene

_SUITE = flags.DEFINE_string("suite", "libero_goal", "Suite of the scene.")
_TASKS = flags.DEFINE_list("tasks", [], "Rows of the suite; none: all, mixed.")
_NUM_ENVS = flags.DEFINE_integer("num_envs", 64, "Environments.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 40, "Control steps a run.", lower_bound=1)
_AGAINST = flags.DEFINE_enum("against", None, list(ENGINES), "A second engine.")
BARE_STEPS = 1000


def measure(scene: Scene, start: env.EnvState, *, steps: int) -> dict[str, Any]:
    """Compile and run.

    Args:
      scene: whose tasks are simulated.
      start: states of B environments.
      steps: control steps of a timed run.

    Returns:
      Rates, seconds and the counts of failures.
    """
    run, key = functools.partial(rollout, scene, steps=steps), jax.random.key(0)
    program, compiled = timing.compiled(run, start, key)
    jax.clear_caches()
    _, again = timing.compiled(run, start, key)
    seconds = timing.fastest(lambda _: program(start, key))
    end, _ = program(start, key)
    count = start.task.shape[0] * steps
    rate = count / seconds.wall
    return {
        "control_steps_per_second": round(rate),
        "physics_steps_per_second": round(rate * scene.preset.substeps),
        "cpu_seconds_per_control_step": float(f"{seconds.cpu / count:.3g}"),
        "compile_seconds": round(compiled, 1),
        "cached_compile_seconds": round(again, 1),
        "contact_overflow": int(end.physics.overflow.sum()),
        "diverged": int(end.diverged.sum()),
        "placement_failures": int(end.placement_failures.sum()),
    }


def bare_rate(scene: Scene, start: env.EnvState) -> int:
    """Steps a second of `mj_step` alone, on one thread, from the first state."""
    model = engine_mujoco.compile_model(scene.assets, scene.preset, scene.contact_pairs)
    model, data = engine_mujoco.single(scene, model, start.physics, row=0)
    step = functools.partial(mujoco.mj_step, model, data, nstep=BARE_STEPS)
    return round(BARE_STEPS / timing.fastest(lambda _: step()).wall)


def main(argv: Sequence[str]) -> None:
    """Measure one engine, or two from the same states."""
    del argv
    with tempfile.TemporaryDirectory() as folder:
        compilation.enable_cache(Path(folder))
        rows = tuple(int(row) for row in _TASKS.value) or None
        engine = chosen_engine(_AGAINST.value)
        scene = make_scene(_SUITE.value, rows, engine=engine)
        start = initial_states(scene, _NUM_ENVS.value)
        report = measure(scene, start, steps=_STEPS.value)
        report["bare_steps_per_second"] = bare_rate(scene, start)
        if _AGAINST.value:
            other = make_scene(_SUITE.value, rows, engine=_AGAINST.value)
            against = measure(other, start, steps=_STEPS.value)
            name = "control_steps_per_second"
            report |= {
                "against": {"engine": _AGAINST.value} | against,
                "ratio": round(report[name] / against[name], 3),
            }
    print_report(
        "simulator",
        scene.engine,
        suite=_SUITE.value,
        num_envs=_NUM_ENVS.value,
        device=str(jax.devices()[0].device_kind),
        **report,
    )


if __name__ == "__main__":
    app.run(main)
