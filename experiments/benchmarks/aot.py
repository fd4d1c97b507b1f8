"""Compiles for TPUs that are not there, and says what the compiled program costs.

Run: `python -m experiments.benchmarks.aot --topology=v5e-1 --program=render
--num_envs=96`, `--program=step|rollout|online|update|sft|spatial` with `--preset=small`
and, for the last two, `--batch_size=64`. Needs the extra `tpu` (libtpu) and no TPU:
libtpu's compiler runs on a CPU. Prints one JSON object. All bytes are those of one
device; `loops` multiplies what a loop's body costs by the times that it runs, see
`lib/hlo_cost.py`. `written` and `padded` are the bytes that operations write without
and with the padding of tiles, `collectives` what devices exchange. `--text=FILE` keeps
the compiled program's text. `fits` false: the compiler found too little memory, and
says how much it wanted. CPU seconds are sums over cores, which vary less on a machine
that does other work, too.
"""

import json
import time
from pathlib import Path
from typing import Any
from unittest import mock

import jax
from absl import app, flags

from experiments.benchmarks.lib import (
    aot_programs,
    aot_report,
    hlo_cost,
    hlo_text,
    tpu_topology,
)
from experiments.benchmarks.lib.flags import chosen_preset
from omnivla_jax.policy.config import PRESETS

_TOPOLOGY = flags.DEFINE_string("topology", "v5e-1", "Slice, or libtpu's name of it.")
_PROGRAM = flags.DEFINE_enum(
    "program", "render", list(aot_programs.PROGRAMS), "What to compile."
)
_PRESET = flags.DEFINE_enum("preset", "tiny", list(PRESETS), "Of the policy.")
_ENVIRONMENTS = flags.DEFINE_integer("num_envs", 96, "Of all devices together.")
_BATCH = flags.DEFINE_integer(
    "batch_size", 64, "Observations of sft, scenes of spatial."
)
_SIZE = flags.DEFINE_integer("size", 128, "Image side of `render`, pixels.")
_ACCUMULATE = flags.DEFINE_integer("grad_accum_steps", 1, "Parts of a minibatch.")
_FSDP = flags.DEFINE_integer("fsdp", 1, "Devices that split parameters as well.")
_TENSOR = flags.DEFINE_integer("tensor", 1, "Devices that split heads and MLPs.")
_TEXT = flags.DEFINE_string("text", None, "File for the compiled program's text.")
_OFFENDERS = flags.DEFINE_integer("offenders", 12, "Largest operations to list.")


def measure() -> dict[str, Any]:
    """Compile the program of the command line and describe it."""
    mesh = tpu_topology.make_mesh(
        _TOPOLOGY.value, fsdp=_FSDP.value, tensor=_TENSOR.value
    )
    options = aot_programs.ProgramOptions(
        preset=_PRESET.value,
        num_envs=_ENVIRONMENTS.value,
        batch_size=_BATCH.value,
        image_size=_SIZE.value,
        physics_preset=chosen_preset(),
        grad_accum_steps=_ACCUMULATE.value,
    )
    kind = mesh.devices.flat[0].device_kind
    report: dict[str, Any] = {"device": f"{mesh.size} x {kind}", "jax": jax.__version__}
    begin = time.perf_counter()
    # Code that asks for the default backend chooses the arithmetic of a TPU.
    with mock.patch.object(jax, "default_backend", return_value="tpu"):
        workload = aot_programs.PROGRAMS[_PROGRAM.value](options, mesh)
        lowered = workload.function.lower(*workload.arguments)
    report |= {**workload.sizes, "lower_seconds": round(time.perf_counter() - begin, 1)}
    begin, cpu = time.perf_counter(), time.process_time()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        return report | aot_report.without_room(error)
    report["compile_seconds"] = round(time.perf_counter() - begin, 1)
    report["compile_cpu_seconds"] = round(time.process_time() - cpu, 1)
    text = compiled.as_text()
    if _TEXT.value:
        Path(_TEXT.value).write_text(text)
    memory = aot_report.memory(compiled, kind)
    costs = hlo_cost.report(hlo_text.parse(text), offenders=_OFFENDERS.value)
    return (
        report
        | memory
        | aot_report.shares(workload.sizes, memory, costs, mesh.size)
        | costs
    )


def main(argv: list[str]) -> None:
    """Print the measurement, or one line where libtpu is missing."""
    if argv[1:]:
        raise app.UsageError(f"Unknown argument {argv[1]!r}.")
    if not tpu_topology.IS_AVAILABLE:
        print(
            "Skipped: compiling for TPUs needs libtpu, of the extra omnivla-rl[tpu]: "
            f"pip install 'jax[tpu]=={jax.__version__}'."
        )
        return
    flag_values = {
        "benchmark": "aot",
        "topology": _TOPOLOGY.value,
        "program": _PROGRAM.value,
        "mesh": {"fsdp": _FSDP.value, "tensor": _TENSOR.value},
    }
    print(json.dumps(flag_values | measure()))


if __name__ == "__main__":
    app.run(main)
