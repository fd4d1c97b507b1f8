"""Variants of the main job, seed by seed: what they share is made once.

    ROOT/seed-0/stage-two-DIGEST/   demonstrations, flow matching, and its evaluation
    ROOT/seed-0/VARIANT/            Flow-GSPO or a rival, and its evaluation
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments import phases, recording, training
from experiments.job import Job, build
from experiments.reporting import progress
from experiments.settings import from_config
from experiments.workdir import open_workdir
from omnivla_jax.train import metrics
from omnivla_jax.train.evaluate import wilson_interval

# What stage III alone depends on: variants that differ in nothing else share the rest.
STAGE_THREE = ("rl", "sampler")


class Result(NamedTuple):
    """One variant under one seed."""

    evaluation: dict[str, Any]  # `evaluate.summarise`'s
    history: list[metrics.Row]  # of stage III; empty where there is none


def run(config: ConfigDict, root: Path) -> dict[str, list[Result]]:
    """Every variant under every seed, finished ones skipped: name -> by seed."""
    found: dict[str, list[Result]] = {name: [] for name in config.compared}
    for seed in config.seeds:
        for name in config.compared:
            found[name].append(_result(varied(config, name, seed), root, name))
    return found


def varied(config: ConfigDict, name: str, seed: int) -> ConfigDict:
    """The configuration of one variant: a config of the main job."""
    changed = ConfigDict(config.to_dict())
    changes = changed.variants[name]
    del changed.variants, changed.compared, changed.seeds
    changed.update(changes)
    changed.seed = seed
    return changed


def pooled(results: list[Result]) -> dict[str, Any]:
    """Success over the episodes of all seeds, its interval, and by seed."""
    seeds = [result.evaluation["success"] for result in results]
    episodes = [result.evaluation["episodes"] for result in results]
    successes = round(sum(share * n for share, n in zip(seeds, episodes)))
    return {
        "success": successes / sum(episodes),
        "interval": list(wilson_interval(successes, sum(episodes))),
        "seeds": seeds,
        "episodes": sum(episodes),
    }


def _result(config: ConfigDict, root: Path, name: str) -> Result:
    """Stage II if no other variant has been through it, then this one's stage III."""
    folder = root / f"seed-{config.seed}"
    shared = _shared_job(config, folder)
    trained = training.flow_matching(shared, recording.demonstrations(shared))
    if not config.rl.updates:
        phases.evaluation(shared, "before", trained)
        return Result(shared.workdir.result("before") or {}, [])
    words = re.findall("[a-z0-9]+", name.lower())
    own = folder / "-".join(words)
    progress.note("Variant", name)
    workdir = open_workdir(own, config.to_dict(), resume=True)
    job = build(from_config(config), workdir, None)
    phases.evaluation(job, "after", training.flow_gspo(job, trained))
    history = metrics.load(job.workdir.path / "flow_gspo.csv")
    return Result(job.workdir.result("after") or {}, history)


def _shared_job(config: ConfigDict, folder: Path) -> Job:
    """The job of stage II, whose folder is named after what it depends on."""
    common = {k: v for k, v in config.to_dict().items() if k not in STAGE_THREE}
    digest = hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()
    path = folder / f"stage-two-{digest[:8]}"
    return build(from_config(config), open_workdir(path, common, resume=True), None)
