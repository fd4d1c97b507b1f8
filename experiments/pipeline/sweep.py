"""Trains variants of one config under several seeds, and their common parts once.

    ROOT/seed-0/demonstrations-DIGEST/  the scripted expert's episodes
    ROOT/seed-0/spatial-DIGEST/   stage I and its judged geometry, where stages name it
    ROOT/seed-0/sft-DIGEST/       supervised fine-tuning and its evaluation
    ROOT/seed-0/VARIANT/                online training and its evaluation

Finished variants need their small files only: seeds may run on several machines and
their folders be merged without the checkpoints.
"""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any, Sequence

from ml_collections import ConfigDict

from experiments.configs.schema import from_config, split_names
from experiments.pipeline import (
    geometry_evaluation,
    phases,
    policy_cost,
    training,
    training_stage,
)
from experiments.pipeline.demonstrations import demonstrations
from experiments.pipeline.run_context import RunContext, make_context
from experiments.pipeline.workdir import Workdir, enclosing_run, open_workdir
from experiments.reporting import progress, records
from experiments.reporting.records import Run
from omnivla_jax.policy import inference
from omnivla_jax.train import csv_log
from omnivla_jax.train.state import TrainState

# Settings that supervised fine-tuning does not depend on.
ONLINE_SETTINGS = ("rl", "sampler", "stages")
# Settings of a sweep that no run of it has.
BESIDE_VARIANTS = (
    "variants",
    "variant_names",
    "seeds",
    "methods",
    "method_names",
    "tuning_seeds",
)
# Settings that the demonstrations depend on.
DEMONSTRATION_SETTINGS = (
    "seed",
    "suite",
    "tasks",
    "engine",
    "image_size",
    "demonstrations",
    "data",
)
# Settings that stage I depends on, beside how long the expert's episodes are.
SPATIAL_SETTINGS = (
    "seed",
    "suite",
    "task_files",
    "engine",
    "image_size",
    "policy",
    "spatial",
)


def run(config: ConfigDict, root: Path) -> list[Run]:
    """Train every variant under every seed that is not finished.

    Args:
      config: of a run, with `variants`, `variant_names` and `seeds` beside.
      root: folder of all.

    Returns:
      The finished runs, seed by seed.

    Raises:
      ValueError: `root` is the folder of a single run or seed.
    """
    _check_root(root, config.seeds)
    return [
        _run_variant(variant_config(config, name, seed), root, name)
        for seed in config.seeds
        for name in config.variant_names
    ]


def variant_config(config: ConfigDict, name: str, seed: int) -> ConfigDict:
    """The config of one variant under one seed, which `experiments.train` takes too."""
    variant = ConfigDict(config.to_dict())
    changes = variant.variants[name]
    for beside in BESIDE_VARIANTS:
        if beside in variant:
            del variant[beside]
    variant.update(changes)
    variant.seed = seed
    return variant


def _check_root(root: Path, seeds: Sequence[int]) -> None:
    """Raise a ValueError where the seeds' folders lie above or below `root`."""
    if run_folder := enclosing_run(root):
        raise ValueError(f"{run_folder} is a single run: choose another --workdir.")
    if list(root.glob("sft-*")) + list(root.glob("demonstrations-*")):
        above = root.absolute().parent
        raise ValueError(f"{root} holds a single seed: give --workdir={above}.")
    for seed in seeds:
        name = f"seed-{seed}"
        deeper = [] if (root / name).exists() else sorted(root.glob(f"*/{name}"))
        if deeper:
            raise ValueError(
                f"{deeper[0]} lies too deep to be found: move it to {root / name}."
            )


def _run_variant(config: ConfigDict, root: Path, name: str) -> Run:
    """Read the run of a variant, after training it if it is not finished."""
    folder = root / f"seed-{config.seed}"
    has_online = config.rl.updates > 0
    if has_online:
        words = re.findall("[a-z0-9]+", name.lower())
        path, phase = folder / "-".join(words), "after"
        workdir = open_workdir(path, config.to_dict(), resume=True)
    else:
        workdir, phase = _sft_workdir(config, folder), "before"
    if workdir.result(phase) is None:
        progress.note("Variant", f"{name}, seed {config.seed}")
        context = make_context(from_config(config), workdir, None)
        state = _sft_state(config, folder, context)
        if has_online:
            state = _train_online(context, state)
        phases.run_evaluation(context, phase, state)
        stage = "online" if has_online else "sft"
        policy = inference.load(workdir.checkpoints(stage))
        workdir.save_result("cost", policy_cost.measure(policy))
    results = {name: workdir.result(name) for name in (phase, "half", "cost")}
    return Run(
        name,
        config.seed,
        records.flatten(config.to_dict()),
        {name: result for name, result in results.items() if result},
        csv_log.load(workdir.metrics_file("online")) if has_online else [],
        workdir.wall_seconds(),
    )


def _train_online(context: RunContext, state: TrainState) -> TrainState:
    """The state after online training, which is evaluated half way, too."""
    stage = training.online_stage(context, state, list)
    half = dataclasses.replace(stage, num_calls=stage.num_calls // 2)
    if half.num_calls and context.workdir.result("half") is None:
        state = training_stage.run(context, half)
        phases.run_evaluation(context, "half", state)
    return training_stage.run(context, stage)


def _sft_state(config: ConfigDict, folder: Path, context: RunContext) -> TrainState:
    """The fine-tuned state of a variant, shared by all variants that start from it."""
    settings = config.to_dict()
    parts = {
        name: settings[name] for name in settings if name in DEMONSTRATION_SETTINGS
    }
    workdir = _digest_workdir(folder, "demonstrations", parts)
    episodes = demonstrations(dataclasses.replace(context, workdir=workdir))
    shared = dataclasses.replace(context, workdir=_sft_workdir(config, folder))
    initial = _spatial_state(config, folder, context)
    return training_stage.run(shared, training.sft_stage(shared, initial, episodes))


def _spatial_state(
    config: ConfigDict, folder: Path, context: RunContext
) -> TrainState | None:
    """The state after stage I, shared by all variants that have it; None: without."""
    if "spatial" not in context.config.stages:
        return None
    shared = dataclasses.replace(context, workdir=_spatial_workdir(config, folder))
    state = training_stage.run(shared, training.STAGES["spatial"](shared, None, list))
    geometry_evaluation.run(shared, state)
    return state


def _spatial_workdir(config: ConfigDict, folder: Path) -> Workdir:
    settings = config.to_dict()
    parts = {name: settings[name] for name in SPATIAL_SETTINGS}
    parts["pool_steps"] = settings["demonstrations"]["steps"]
    return _digest_workdir(folder, "spatial", parts)


def _sft_workdir(config: ConfigDict, folder: Path) -> Workdir:
    settings = config.to_dict()
    parts = {name: settings[name] for name in settings if name not in ONLINE_SETTINGS}
    if "spatial" in split_names(config.stages):
        parts["stages"] = ("spatial", "sft")
    return _digest_workdir(folder, "sft", parts)


def _digest_workdir(folder: Path, name: str, settings: dict[str, Any]) -> Workdir:
    """A folder named after the settings that its content depends on."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return open_workdir(folder / f"{name}-{digest[:8]}", settings, resume=True)
