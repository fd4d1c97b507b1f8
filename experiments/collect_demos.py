"""Collects expert demonstrations of a LIBERO suite as a dataset.

    python -m experiments.collect_demos --suite=libero_object --out=data
        [--tasks=0,3] [--episodes=50] [--image_size=256] [--noise=0.05] [--resume]
        [--format=rlds]

It lies in OUT/NAME, where NAME is the suite's or the BDDL file's:

    rlds                    as OpenVLA's modified_libero_rlds, TFRecord files
    rlds_array_record       the same as ArrayRecord files, which need no TensorFlow
    lerobot, lerobot_v30    LeRobotDataset v2.1 or v3.0, as physical-intelligence/libero
    hdf5                    as LIBERO's own files, observations behind their actions
    hdf5_obs_before_action  the same with observations before their actions

docs/data.md says what reads them.
"""

from pathlib import Path
from typing import Any

from absl import flags, logging

from data_pipelines.writers import WRITERS
from experiments.configs.flag_values import task_rows
from experiments.pipeline import dataset_collection
from experiments.reporting import errors, progress
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim.assets.integrator_presets import PRESETS
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.libero import libero_plus, tasks

_SUITE = flags.DEFINE_string(
    "suite", "libero_goal", "A suite, a BDDL file or a folder of them."
)
_OUT = flags.DEFINE_string("out", None, "Folder of datasets.", required=True)
_TASKS = flags.DEFINE_list("tasks", [], "Rows of the suite; none: all.")
_EPISODES = flags.DEFINE_integer("episodes", 50, "Successes per task.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 10, "Played at once.", lower_bound=1)
_SIZE = flags.DEFINE_integer("image_size", 256, "Pixels a side.", lower_bound=8)
_NOISE = flags.DEFINE_float("noise", 0.05, "On the commands.", lower_bound=0.0)
_SEED = flags.DEFINE_integer("seed", 0, "Of layouts and noise.")
_ENGINE = flags.DEFINE_enum("engine", "auto", ["auto", *ENGINES], "Physics engine.")
_PRESET = flags.DEFINE_enum(
    "physics_preset", "fast", list(PRESETS), "How finely the physics is integrated."
)
_PROMPT = flags.DEFINE_enum(
    "prompt", "clean", list(libero_plus.PROMPTS), "What task files tell the policy."
)
_HORIZON = flags.DEFINE_integer("horizon", None, "Time limit in control steps.")
_SKIP = flags.DEFINE_boolean("skip_unknown", False, "Leave out files that cannot load.")
_CATEGORIES = flags.DEFINE_string(
    "categories", None, "JSON file of known categories recoloured or rescaled."
)
_FORMAT = flags.DEFINE_enum("format", "rlds", list(WRITERS), "Layout of the dataset.")
_RESUME = flags.DEFINE_boolean("resume", False, "Continue what was interrupted.")


def main(argv: list[str]) -> None:
    """Collect and say where it lies."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    rows = task_rows(_TASKS.value)
    files: dict[str, Any] = {
        "prompt": _PROMPT.value,
        "horizon": _HORIZON.value,
        "skip_unknown": _SKIP.value,
        "categories": _CATEGORIES.value,
    }
    count = len(tasks.suite(_SUITE.value, **files).tasks)
    config = dataset_collection.CollectionConfig(
        suite=_SUITE.value,
        tasks=rows or tuple(range(count)),
        episodes=_EPISODES.value,
        batch_size=_BATCH.value,
        image_size=_SIZE.value,
        noise=_NOISE.value,
        seed=_SEED.value,
        engine=_ENGINE.value,
        preset=_PRESET.value,
        task_files=files,
    )
    out = Path(_OUT.value).expanduser()
    num_stored = dataset_collection.collect(
        config, out, resume=_RESUME.value, layout=_FORMAT.value
    )
    progress.note("Stored", f"{num_stored} episodes in {out}")


if __name__ == "__main__":
    errors.run(main)
