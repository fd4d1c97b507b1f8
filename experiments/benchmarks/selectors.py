"""Success against the number of candidate chunks, on the same initial states.

Run: `python -m experiments.benchmarks.selectors --checkpoint=runs/quickstart
--stage=sft --out=DIR`. Prints one JSON object a selector and number of candidates; one
candidate is the policy as it is. --out gets selectors.json of all objects, which a
repeated command goes on from, and selectors.png.
"""

import json
from pathlib import Path
from typing import Any, Sequence

import numpy as np
from absl import app, flags, logging

from experiments.benchmarks.lib.flags import print_report
from experiments.pipeline import evaluated_policy, evaluation_episodes
from experiments.pipeline.evaluated_policy import EvaluatedPolicy
from experiments.pipeline.run_context import make_scene, task_names
from experiments.pipeline.selector_fitting import with_network
from experiments.reporting import curves
from experiments.reporting.files import write_json
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import paths
from omnivla_jax.train import environment, evaluate
from omnivla_jax.train.acting import ActingConfig
from omnivla_jax.train.candidates import SCORE_FNS, SelectionConfig
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.evaluate import EvaluateConfig

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Of a run.", required=True)
_STAGE = flags.DEFINE_string("stage", None, "Of the run; else the last.")
_SELECTORS = flags.DEFINE_list("selectors", list(SCORE_FNS), "To be compared.")
_CANDIDATES = flags.DEFINE_list("candidates", ["1", "2", "4", "8", "16"], "Of each.")
_LOOKAHEAD = flags.DEFINE_integer("lookahead", 0, "Chunks behind, of `clone`.")
_EPISODES = flags.DEFINE_integer("episodes", 96, "Of each number of candidates.")
_FITTED = flags.DEFINE_integer("selection_episodes", 240, "That `value` is fitted to.")
_OUT = flags.DEFINE_string("out", None, "Folder of the results.", required=True)


def main(argv: Sequence[str]) -> None:
    """Evaluate each selector with each number of candidates."""
    del argv
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    chosen = evaluated_policy.from_checkpoint(
        paths.parse(_CHECKPOINT.value), _STAGE.value
    )
    config = chosen.config
    scene = make_scene(config)
    simulator = environment.simulator(scene, config.policy, size=config.image_size)
    file = Path(_OUT.value) / "selectors.json"
    rows = json.loads(file.read_text("utf-8")) if file.exists() else []
    done = {(row["selector"], row["candidates"]) for row in rows}
    for selector in _SELECTORS.value:
        wanted = [n for n in map(int, _CANDIDATES.value) if (selector, n) not in done]
        fitted = chosen
        if any(n > 1 for n in wanted):
            sizes = config.evaluation
            fitted = with_network(
                chosen, selector, simulator, sizes, episodes=_FITTED.value
            )
        for candidates in wanted:
            same = [r for r in rows if candidates == r["candidates"] == 1]
            row = same[0] if same else _row(fitted, simulator, selector, candidates)
            row |= {"selector": selector}
            print_report("selectors", scene.engine, **row)
            rows.append(row)
            write_json(file, rows)
    lines: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault(row["selector"], {})[row["candidates"]] = row
    curves.by_amount(file.with_suffix(".png"), lines, label="candidates")


def _row(
    chosen: EvaluatedPolicy, simulator: Environment, selector: str, candidates: int
) -> dict[str, Any]:
    """The evaluation of one number of candidates."""
    config = chosen.config
    sizes = vars(config.evaluation) | {"episodes": _EPISODES.value, "recorded": 0}
    settings = EvaluateConfig(**sizes)
    selection = SelectionConfig(
        candidates, selector, _LOOKAHEAD.value, config.rl.reward_weights
    )
    starts = evaluate.eval_initial_states(config.seed, config.tasks, settings)
    program = evaluate.make_evaluate(
        simulator, config.policy, settings, ActingConfig(selection)
    )
    outcome, _ = evaluation_episodes.run_episodes(
        program, chosen, starts, settings, ["all"] * settings.episodes, shown=0
    )
    names = task_names(make_scene(config))
    summary = evaluate.summarise(outcome.success, np.asarray(starts.task), names)
    return {"candidates": candidates, "episodes": settings.episodes, **summary}


if __name__ == "__main__":
    app.run(main)
