"""Failure detection with conformal bands: coverage, detection rate and lead time.

Run: `python -m experiments.benchmarks.failure_detection --checkpoint=runs/quickstart
--stage=sft --episodes=1680 --out=DIR`. Plays episodes of the random stream `selection`
and keeps the features of their chunks, in files of PART episodes in --out, which a
repeated command goes on from. A value head is fitted to the first --fitted of them, a
band to the successful ones among the next --calibrated; the others are judged. Prints
one JSON object an alpha:

    coverage        share of successful episodes that are never flagged; 1 - alpha
    detection_rate  share of failed episodes that are flagged
    lead_steps      control steps between flag and end, median of the flagged failures
"""

from pathlib import Path
from typing import Any, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from experiments.benchmarks.lib.flags import print_report
from experiments.pipeline import evaluated_policy, selector_fitting
from experiments.pipeline.run_context import make_scene
from experiments.pipeline.selector_fitting import PlayedEpisodes
from experiments.reporting.files import replacing
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import paths
from omnivla_jax.policy.selectors import conformal, outcome
from omnivla_jax.policy.selectors.perceptron import FitConfig
from omnivla_jax.train import environment, evaluate, rng

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Of a run.", required=True)
_STAGE = flags.DEFINE_string("stage", None, "Of the run; else the last.")
_EPISODES = flags.DEFINE_integer("episodes", 1680, "Played in all; a multiple of PART.")
_FITTED = flags.DEFINE_integer("fitted", 300, "That the value head is fitted to.")
_CALIBRATED = flags.DEFINE_integer("calibrated", 300, "That the band is made from.")
_ALPHAS = flags.DEFINE_list("alphas", ["0.05", "0.1", "0.2"], "Shares to be flagged.")
PART = 240  # episodes of a file

_OUT = flags.DEFINE_string("out", None, "Folder of the episodes.", required=True)


def main(argv: Sequence[str]) -> None:
    """Play or read the episodes, and judge the detector."""
    del argv
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    parts = []
    for file in _record(Path(_OUT.value), _EPISODES.value):
        with np.load(file) as data:
            parts.append(PlayedEpisodes(*(data[n] for n in PlayedEpisodes._fields)))
    seen = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    for row in detector_report(
        seen,
        fitted=_FITTED.value,
        calibrated=_CALIBRATED.value,
        alphas=[float(alpha) for alpha in _ALPHAS.value],
        config=FitConfig(),
    ):
        print_report("failure_detection", "", **row)


def detector_report(
    seen: PlayedEpisodes,
    *,
    fitted: int,
    calibrated: int,
    alphas: Sequence[float],
    config: FitConfig,
) -> list[dict[str, Any]]:
    """The detector's numbers, one record an alpha.

    Args:
      seen: N episodes.
      fitted: the first of them, for the value head.
      calibrated: the next, of whose successes the first third shapes the band.
      alphas: shares of successful episodes that may be flagged.
      config: of the value head.
    """
    first = jax.tree.map(lambda x: jnp.asarray(x[:fitted]), seen)
    network = outcome.fit(
        rng.named_key(0, selector_fitting.STREAM),
        first.features,
        first.success,
        first.valid,
        config=config,
    )
    rest = jax.tree.map(lambda x: x[fitted:], seen)
    scores = np.asarray(outcome.failure_score(network, jnp.asarray(rest.features)))
    known = np.flatnonzero(rest.success[:calibrated])
    shape, others = np.split(known, [len(known) // 3])
    judged = jax.tree.map(lambda x: x[calibrated:], rest)
    rows = []
    for alpha in alphas:
        band = conformal.fit(
            scores[shape],
            rest.valid[shape],
            scores[others],
            rest.valid[others],
            alpha=alpha,
        )
        flag = conformal.first_flag(band, scores[calibrated:], judged.valid)
        rows.append({"alpha": alpha} | _numbers(flag, judged))
    return rows


def _numbers(flag: np.ndarray, judged: PlayedEpisodes) -> dict[str, Any]:
    """Shares and lead of flags int [N], in decisions."""
    is_flagged, success = flag != conformal.NOT_FLAGGED, judged.success
    caught = is_flagged & ~success
    decisions = judged.valid.sum(axis=1)
    per_decision = judged.steps.max() / judged.valid.shape[1]
    lead = (decisions - flag)[caught] * per_decision
    return {
        "successes": int(success.sum()),
        "failures": int((~success).sum()),
        "coverage": float(1.0 - is_flagged[success].mean()),
        "detection_rate": float(is_flagged[~success].mean()),
        "lead_steps": float(np.median(lead)) if caught.any() else None,
    }


def _record(folder: Path, episodes: int) -> list[Path]:
    """Play the episodes that no file holds, and list the files of all."""
    files = [folder / f"episodes_{n:05d}.npz" for n in range(0, episodes, PART)]
    if all(file.exists() for file in files):
        return files
    chosen = evaluated_policy.from_checkpoint(
        paths.parse(_CHECKPOINT.value), _STAGE.value
    )
    config = chosen.config
    simulator = environment.simulator(
        make_scene(config), config.policy, size=config.image_size
    )
    sizes = vars(config.evaluation) | {"episodes": PART * len(files)}
    starts = evaluate.eval_initial_states(
        config.seed,
        config.tasks,
        evaluate.EvaluateConfig(**sizes),
        stream=selector_fitting.STREAM,
    )
    for number, file in enumerate(files):
        if file.exists():
            continue
        rows = slice(number * PART, (number + 1) * PART)
        seen = selector_fitting.episodes_with_features(
            chosen,
            simulator,
            jax.tree.map(lambda x: x[rows], starts),
            config.evaluation,
        )
        with replacing(file) as temporary:
            with temporary.open("wb") as stream:
                np.savez(stream, **seen._asdict())
    return files


if __name__ == "__main__":
    app.run(main)
