"""Success of a trained policy on the held-out initial states, as one JSON object.

python -m experiments.evaluate --workdir=runs/quickstart [--stage=flow_gspo]
    [--episodes=24] [--batch_size=12] [--noverdicts]

The run's folder is only read. An episode's verdict depends on neither --episodes nor
--batch_size: the first 24 of 48 are the 24, and the run's own evaluation is repeated.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from absl import flags, logging

from experiments.pipeline import policy_checkpoint
from experiments.pipeline.run_context import make_scene, task_names
from experiments.reporting import errors
from omnivla_jax.core import compile as compilation
from omnivla_jax.train import environment, evaluate
from omnivla_jax.train.state import evaluated

_STAGES = ("flow_gspo", "flow_gspo_best", "flow_matching")

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run.", required=True)
_STAGE = flags.DEFINE_enum("stage", _STAGES[0], _STAGES, "Whose newest checkpoint.")
_EPISODES = flags.DEFINE_integer("episodes", None, "How many; None: as in the run.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "At a time; changes no verdict.")
_VERDICTS = flags.DEFINE_boolean("verdicts", True, "List the outcome of every episode.")
_CACHE_DIR = flags.DEFINE_string(
    "compilation_cache", "", "Of compiled programs; empty: as experiments.quickstart."
)


def main(argv: list[str]) -> None:
    """Restore, evaluate, print."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    logging.set_verbosity(logging.ERROR)
    restored = policy_checkpoint.restore(Path(_WORKDIR.value), _STAGE.value)
    settings = restored.config
    asked = {"episodes": _EPISODES.value, "batch_size": _BATCH_SIZE.value}
    changes = {name: value for name, value in asked.items() if value is not None}
    config = dataclasses.replace(settings.evaluation, **changes)
    folder = _CACHE_DIR.value
    compilation.enable_cache(Path(folder).expanduser() if folder else None)
    scene = make_scene(settings)
    simulator = environment.simulator(scene, settings.policy, size=settings.image_size)
    start = evaluate.eval_initial_states(settings.seed, settings.tasks, config)
    outcome = evaluate.run(
        evaluate.compiled(simulator, settings.policy, config),
        evaluated(restored.state),
        restored.state.normalizer,
        start,
        config=config,
    )
    rows = np.asarray(start.task)
    found = evaluate.summarise(outcome.success, rows, task_names(scene))
    found |= evaluate.failure_counts(outcome) | {"episodes": config.episodes}
    found |= {"stage": _STAGE.value, "update": restored.update}
    if _VERDICTS.value:
        found["verdicts"] = outcome.success.astype(int).tolist()
        found["steps"] = outcome.steps.astype(int).tolist()
    print(json.dumps(found))


if __name__ == "__main__":
    errors.run(main)
