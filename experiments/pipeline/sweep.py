"""Variants of the main job, seed by seed: what they share is made once.

    ROOT/seed-0/demonstrations-DIGEST/  the scripted expert's episodes
    ROOT/seed-0/stage-two-DIGEST/       flow matching and its evaluation
    ROOT/seed-0/VARIANT/                Flow-GSPO or a rival, and its evaluation

Of what is finished only the records are read: seeds may run on several machines and
their folders be laid side by side, without the checkpoints.
"""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any, Sequence

from ml_collections import ConfigDict

from experiments.configs.schema import from_config
from experiments.pipeline import demonstrations, phases, training
from experiments.pipeline.run_context import RunContext, build
from experiments.pipeline.workdir import Workdir, open_workdir, run_of
from experiments.reporting import progress, records
from experiments.reporting.records import Run
from omnivla_jax.train import csv_log
from omnivla_jax.train.state import TrainState

# What stage III alone depends on: variants that differ in nothing else share the rest.
STAGE_THREE = ("rl", "sampler")
# What the demonstrations depend on.
DEMONSTRATIONS = ("seed", "suite", "tasks", "physics", "image_size", "demonstrations")


def run(config: ConfigDict, root: Path) -> list[Run]:
    """Every variant under every seed, finished ones skipped."""
    _check_root(root, config.seeds)
    return [
        _result(varied(config, name, seed), root, name)
        for seed in config.seeds
        for name in config.compared
    ]


def _check_root(root: Path, seeds: Sequence[int]) -> None:
    """Raise a ValueError where the seeds' folders lie above or below `root`."""
    if run := run_of(root):
        raise ValueError(f"{run} is a single run: choose another --workdir.")
    if list(root.glob("stage-two-*")) + list(root.glob("demonstrations-*")):
        above = root.absolute().parent
        raise ValueError(f"{root} holds a single seed: give --workdir={above}.")
    for seed in seeds:
        name = f"seed-{seed}"
        deeper = [] if (root / name).exists() else sorted(root.glob(f"*/{name}"))
        if deeper:
            raise ValueError(
                f"{deeper[0]} lies too deep to be found: move it to {root / name}."
            )


def varied(config: ConfigDict, name: str, seed: int) -> ConfigDict:
    """The configuration of one variant: a config of the main job."""
    changed = ConfigDict(config.to_dict())
    changes = changed.variants[name]
    del changed.variants, changed.compared, changed.seeds
    changed.update(changes)
    changed.seed = seed
    return changed


def _result(config: ConfigDict, root: Path, name: str) -> Run:
    """A finished variant's records; one that is not finished is trained first."""
    folder = root / f"seed-{config.seed}"
    learns = config.rl.updates > 0
    own = _own(config, folder, name) if learns else _shared(config, folder)
    phase = "after" if learns else "before"
    if own.result(phase) is None:
        progress.note("Variant", f"{name}, seed {config.seed}")
        job = build(from_config(config), own, None)
        trained = _stage_two(config, folder, job)
        tuned = training.flow_gspo(job, trained) if learns else trained
        phases.evaluation(job, phase, tuned)
    history = csv_log.load(own.table("flow_gspo")) if learns else []
    return Run(
        name,
        config.seed,
        records.flatten(config.to_dict()),
        {phase: own.result(phase) or {}},
        history,
        own.seconds(),
    )


def _stage_two(config: ConfigDict, folder: Path, job: RunContext) -> TrainState:
    """What flow matching makes, unless another variant has been through it."""
    recorded = dataclasses.replace(job, workdir=_recorded(config, folder))
    shared = dataclasses.replace(job, workdir=_shared(config, folder))
    return training.flow_matching(shared, demonstrations.demonstrations(recorded))


def _own(config: ConfigDict, folder: Path, name: str) -> Workdir:
    words = re.findall("[a-z0-9]+", name.lower())
    return open_workdir(folder / "-".join(words), config.to_dict(), resume=True)


def _shared(config: ConfigDict, folder: Path) -> Workdir:
    parts = {k: v for k, v in config.to_dict().items() if k not in STAGE_THREE}
    return _digested(folder, "stage-two", parts)


def _recorded(config: ConfigDict, folder: Path) -> Workdir:
    parts = {k: v for k, v in config.to_dict().items() if k in DEMONSTRATIONS}
    return _digested(folder, "demonstrations", parts)


def _digested(folder: Path, name: str, parts: dict[str, Any]) -> Workdir:
    """A folder named after the settings that its content depends on."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return open_workdir(folder / f"{name}-{digest[:8]}", parts, resume=True)
