"""Plays the episodes of an evaluation block by block, and shows the failed ones.

Axes: N episodes, T control steps.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Mapping, Sequence

import jax
import numpy as np

from experiments.configs.schema import ExperimentConfig
from experiments.pipeline import episode_video
from experiments.pipeline.evaluated_policy import EvaluatedPolicy
from experiments.reporting import progress
from omnivla_jax.core.types import PyTree
from omnivla_jax.sim.state import Scene
from omnivla_jax.train import evaluate
from omnivla_jax.train.evaluate import EvalResult, EvaluateConfig


def run_episodes(
    program: jax.stages.Wrapped,
    chosen: EvaluatedPolicy,
    starts: evaluate.EvalBatch,
    config: EvaluateConfig,
    groups: Sequence[str],
    *,
    shown: int,
) -> tuple[EvalResult, dict[str, list[tuple[int, PyTree]]]]:
    """Run all episodes, a block of the compiled width at a time.

    Args:
      program: of `evaluate.make_evaluate`.
      chosen: the policy.
      starts: of N episodes.
      config: the sizes.
      groups: of the N episodes, by name.
      shown: failed episodes of each group that are kept.

    Returns:
      The outcome of all episodes, and the number and the states [T, ...] of the first
      failed ones of each group.
    """
    params, normalizer, width = chosen.params, chosen.normalizer, config.width
    outcomes: list[EvalResult] = []
    failures: dict[str, list[tuple[int, PyTree]]] = {}
    finished = succeeded = 0
    with progress.phase(
        "Evaluation", total=config.episodes, unit="episode", stream=sys.stderr
    ) as bar:
        with bar.compiling():
            rows = np.arange(width) % config.episodes
            first = jax.eval_shape(lambda: jax.tree.map(lambda x: x[rows], starts))
            evaluate_fn = program.lower(params, normalizer, first).compile()
        for low in range(0, config.episodes, width):
            block = jax.tree.map(lambda x: x[low : low + width], starts)
            size = len(block.task)
            outcome = evaluate.run(
                evaluate_fn,
                params,
                normalizer,
                block,
                config=dataclasses.replace(config, episodes=size),
            )
            finished += size
            succeeded += int(outcome.success.sum())
            bar.advance(size, success=succeeded / finished)
            for row in np.flatnonzero(~outcome.success) if shown else ():
                members = failures.setdefault(groups[low + int(row)], [])
                if len(members) < shown:
                    states = jax.tree.map(
                        lambda x: np.asarray(x[:, row]), outcome.frames
                    )
                    members.append((low + int(row), states))
            outcomes.append(outcome._replace(frames=None))
    whole = jax.tree.map(lambda *x: np.concatenate(x), *outcomes)
    return whole, failures


def write_videos(
    config: ExperimentConfig,
    scene: Scene,
    starts: evaluate.EvalBatch,
    failures: Mapping[str, list[tuple[int, PyTree]]],
    out: Path | None,
) -> dict[str, str]:
    """Write a video of each group's first failures.

    Args:
      config, scene: of the run.
      starts: of N episodes.
      failures: of `run_episodes`.
      out: a folder; None: nothing is written.

    Returns:
      The name of each group's file.
    """
    files: dict[str, str] = {}
    if out is None:
        return files
    for group, episodes in failures.items():
        files[group] = f"{group}.mp4"
        texts = [scene.tasks[int(starts.task[n])].instruction for n, _ in episodes]
        episode_video.write(
            out / files[group],
            scene,
            jax.tree.map(lambda *x: np.stack(x, axis=1), *[s for _, s in episodes]),
            [f"{n}: {text}" for (n, _), text in zip(episodes, texts)],
            size=config.video_size,
            supersample=config.video_supersample,
        )
    return files
