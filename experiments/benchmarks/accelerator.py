"""Measures a machine with an accelerator, the most valuable rows first.

Run: `python -m experiments.benchmarks.accelerator --minutes=25 --out=DIR`, or some
rows: `--rows=render_64,step_4096`. Every row is a process of its own under its own
time limit, and appends one JSON object to DIR/rows.jsonl, so that a run that is cut
off leaves what it has. Compiled programs are kept in DIR/cache: `compile_seconds` of a
second run is a warm one. Needs no network, ffmpeg, tfds or torch. `--scale=0.01`
shrinks every batch, for a trial on a CPU: its numbers mean nothing.

Rows: images of 1,024 environments (`render_PIXELS`), control steps of libero_goal on
MJX (`step_ENVIRONMENTS`, `step_SUITE_4096`, with cameras `cameras_ENVIRONMENTS`) and on
MuJoCo Warp (`warp_ENVIRONMENTS`, which need the extra `warp`),
latency and training step of a policy (`policy_PRESET_BATCH`), the whole online loop
(`online_PRESET_ENVIRONMENTS`). The minutes that are left train `small` on libero_goal's
ten tasks (`train_small`), in DIR/train_small; another run of the command goes on there.
"""

import functools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple

import jax
from absl import app, flags

from experiments.benchmarks.lib import timing
from experiments.benchmarks.lib.random_rollout import initial_states, rollout
from experiments.pipeline.workdir import Workdir
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import precision
from omnivla_jax.sim import scene as scenes
from omnivla_jax.train import csv_log
from omnivla_jax.world import observe, visual_scene

ROOT = Path(__file__).parents[2]
TASKS = (1, 7, 8)  # the quickstart's three of libero_goal
STEPS = 8  # control steps of a timed run: an action chunk
MIN_SECONDS = 45  # a row is not started with less time left
TRAINING = "train_small"  # the last row
SAVE_SECONDS = 30  # of the time left, for a checkpoint at the end of training
TRAINED = {
    "policy.preset": "small",
    "image_size": 128,
    "tasks": ",".join(map(str, range(10))),
    "rl.groups": 40,  # four of each task
    "rl.updates": 400,
    "save_every": 5,
}

_MINUTES = flags.DEFINE_float("minutes", 25.0, "For all rows.", lower_bound=0.1)
_OUT = flags.DEFINE_string("out", None, "Folder of rows.jsonl and logs.", required=True)
_ROWS = flags.DEFINE_list("rows", [], "Which rows; none: all, in order.")
_ROW = flags.DEFINE_string("row", None, "Measure one row here; used by the command.")
_SCALE = flags.DEFINE_float("scale", 1.0, "Of every batch size; below 1 for trials.")


class Row(NamedTuple):
    """One measurement: its time limit, and what it runs."""

    limit_seconds: float
    measure: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]


def render(*, num_envs: int, size: int) -> dict[str, Any]:
    """Draw both cameras of every environment, without shadows as for policies."""
    scene = scenes.make("libero_goal", tasks=TASKS, engine="mjx")
    visuals, start = visual_scene.make(scene), initial_states(scene, num_envs)
    program, compiled = timing.compiled(
        lambda physics: observe.images(visuals, physics, size=size), start.physics
    )
    seconds = timing.fastest(lambda _: program(start.physics)).wall
    images = len(visuals.cameras) * num_envs
    return {
        "frames_per_second": round(images / seconds),
        "milliseconds_per_batch": round(1e3 * seconds, 3),
        "temporary_kib_per_picture": round(
            program.memory_analysis().temp_size_in_bytes / images / 1024, 1
        ),
        "compile_seconds": round(compiled, 1),
    }


def step(
    *, num_envs: int, suite: str = "libero_goal", cameras: int = 0, engine: str = "mjx"
) -> dict[str, Any]:
    """Step random actions; `cameras` pixels a side are drawn after every step."""
    scene = scenes.make(suite, tasks=TASKS, engine=engine)
    start, key = initial_states(scene, num_envs), jax.random.key(0)
    visuals = visual_scene.make(scene) if cameras else None
    run = functools.partial(rollout, scene, steps=STEPS, visuals=visuals, size=cameras)
    program, compiled = timing.compiled(run, start, key)
    seconds = timing.fastest(lambda _: program(start, key)).wall
    end, _ = program(start, key)
    return {
        "control_steps_per_second": round(num_envs * STEPS / seconds),
        "milliseconds_per_control_step": round(1e3 * seconds / STEPS, 3),
        "compile_seconds": round(compiled, 1),
        "contact_overflow": int(end.physics.overflow.sum()),
        "diverged": int(end.diverged.sum()),
    }


def policy(*, preset: str, batch: int) -> dict[str, Any]:
    """Time a policy's prefix, denoising and training steps."""
    from experiments.benchmarks.lib.policy_timing import measure
    from omnivla_jax.policy import config

    return measure(config.preset(preset), batch=batch, steps=10)


def online(*, preset: str, num_envs: int) -> dict[str, Any]:
    """Time the quickstart's whole online loop with another policy and batch."""
    from experiments.benchmarks.lib import online_timing
    from experiments.configs import quickstart
    from experiments.configs.schema import from_config
    from omnivla_jax.train import environment

    config = quickstart.get_config()
    config.engine, config.policy.preset = "mjx", preset
    config.image_size = {"tiny": 64, "small": 128, "full": 224}[preset]
    config.rl.groups = max(num_envs // config.rl.group_size, 1)
    settings = from_config(config)
    scene = scenes.make(settings.suite, tasks=settings.tasks, engine="mjx")
    size = settings.image_size
    simulator = environment.simulator(scene, settings.policy, size=size)
    return online_timing.measure(settings, simulator, updates=2)


def rows() -> dict[str, Row]:
    """All rows by name, the most valuable first."""
    table = {
        "step_256": Row(240, step, {"num_envs": 256}),
        "render_64": Row(180, render, {"num_envs": 1024, "size": 64}),
        "online_tiny_96": Row(580, online, {"preset": "tiny", "num_envs": 96}),
        "step_4096": Row(240, step, {"num_envs": 4096}),
        "render_128": Row(180, render, {"num_envs": 1024, "size": 128}),
        "cameras_1024": Row(240, step, {"num_envs": 1024, "cameras": 128}),
        "policy_small_1": Row(400, policy, {"preset": "small", "batch": 1}),
        "policy_small_64": Row(180, policy, {"preset": "small", "batch": 64}),
        "online_small_512": Row(420, online, {"preset": "small", "num_envs": 512}),
        "warp_4096": Row(300, step, {"num_envs": 4096, "engine": "mjx_warp"}),
        "step_1024": Row(240, step, {"num_envs": 1024}),
        "warp_1024": Row(300, step, {"num_envs": 1024, "engine": "mjx_warp"}),
        "step_8192": Row(240, step, {"num_envs": 8192}),
        "render_224": Row(180, render, {"num_envs": 1024, "size": 224}),
        "policy_full_1": Row(240, policy, {"preset": "full", "batch": 1}),
        "policy_full_64": Row(240, policy, {"preset": "full", "batch": 64}),
        "online_small_2048": Row(420, online, {"preset": "small", "num_envs": 2048}),
    }
    for suite in ("libero_spatial", "libero_object", "libero_10"):
        arguments = {"num_envs": 4096, "suite": suite}
        table[f"step_{suite}_4096"] = Row(240, step, arguments)
    return table


def measure_row(name: str) -> dict[str, Any]:
    """One row, measured in this process."""
    row = rows()[name]
    arguments = dict(row.arguments)
    for size in ("num_envs", "batch"):
        if size in arguments:
            arguments[size] = max(round(arguments[size] * _SCALE.value), 1)
    compilation.enable_cache(Path(_OUT.value).absolute() / "cache")
    return {
        "row": name,
        **arguments,
        **row.measure(**arguments),
        "device": jax.devices()[0].device_kind,
        "dtype": precision.compute_dtype().name,
        "jax": jax.__version__,
    }


def run_row(name: str, out: Path, limit: float) -> dict[str, Any]:
    """Measure one row in its own process: its last line, or the reason of a failure."""
    command = [sys.executable, "-m", __spec__.name, f"--row={name}", f"--out={out}"]
    begin, log = time.perf_counter(), out / f"{name}.log"
    with log.open("w") as errors:
        try:
            process = subprocess.run(
                [*command, f"--scale={_SCALE.value}"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"row": name, "failed": f"not finished in {limit:.0f} s"}
    if process.returncode:
        lines = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
        return {"row": name, "failed": lines[-1][:300], "log": log.name}
    row = json.loads(process.stdout.strip().splitlines()[-1])
    return row | {"wall_seconds": round(time.perf_counter() - begin, 1)}


def train_rest(out: Path, seconds: float, *, is_trial: bool) -> dict[str, Any]:
    """Train until the time is over, then save: how far it came.

    Args:
      out: folder of the rows; the run is a folder in it.
      seconds: that are left.
      is_trial: train the quickstart's toy sizes instead.
    """
    workdir, variant = out / TRAINING, ":debug" if is_trial else ""
    settings = {} if is_trial else TRAINED
    command = [sys.executable, "-m", "experiments.train", "--resume"]
    command += [f"--workdir={workdir}", f"--compilation_cache={out / 'cache'}"]
    command += [f"--config={ROOT / 'experiments/configs/quickstart.py'}{variant}"]
    command += [f"--config.{name}={value}" for name, value in settings.items()]
    with (out / f"{TRAINING}.log").open("a") as log:
        run = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            code = run.wait(max(seconds - SAVE_SECONDS, 1.0))
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGTERM)  # it finishes its step and saves it
            try:
                code = run.wait(SAVE_SECONDS)
            except subprocess.TimeoutExpired:
                run.kill()
                code = run.wait()
    row: dict[str, Any] = {"row": TRAINING, "exit_code": code, "curve": TRAINING}
    for stage, metric in (("sft", "loss"), ("online", "success")):
        file = Workdir(workdir).metrics_file(stage)
        values = [line[metric] for line in csv_log.load(file)]
        row[stage] = {"rows": len(values)}
        if values:
            row[stage] |= {f"first_{metric}": values[0], f"last_{metric}": values[-1]}
    return row


def main(argv: list[str]) -> None:
    """Measure one row, or all within the minutes given."""
    del argv
    if _ROW.value:
        return print(json.dumps(measure_row(_ROW.value)))
    table, out = rows(), Path(_OUT.value).absolute()
    known = [*table, TRAINING]
    unknown = [name for name in _ROWS.value if name not in known]
    if unknown:
        raise app.UsageError(f"Unknown rows {unknown}: choose among {known}.")
    out.mkdir(parents=True, exist_ok=True)
    end = time.perf_counter() + 60 * _MINUTES.value
    for name in _ROWS.value or known:
        left = end - time.perf_counter()
        if left < MIN_SECONDS:
            print(json.dumps({"row": name, "failed": "no time left"}), flush=True)
            continue
        if name == TRAINING:
            row = train_rest(out, left, is_trial=_SCALE.value < 1)
        else:
            row = run_row(name, out, min(table[name].limit_seconds, left))
        line = json.dumps(row)
        with (out / "rows.jsonl").open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)
    return None


if __name__ == "__main__":
    app.run(main)
