"""Fits the networks that score candidate chunks, from what a run has or can play.

Axes: F frames of demonstrations, N episodes, T chunks of an episode, W features.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import rlds
from experiments.pipeline import evaluation_episodes
from experiments.pipeline.evaluated_policy import EvaluatedPolicy
from experiments.pipeline.workdir import enclosing_run
from omnivla_jax.core import paths
from omnivla_jax.core.types import Observation, PyTree
from omnivla_jax.policy import policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.selectors import coin_flips, outcome
from omnivla_jax.policy.selectors.features import chunk_features
from omnivla_jax.policy.selectors.perceptron import FitConfig, Perceptron
from omnivla_jax.train import evaluate, rng, sft_data
from omnivla_jax.train.acting import ActingConfig
from omnivla_jax.train.candidates import SELECTOR
from omnivla_jax.train.environment import Environment
from omnivla_jax.train.evaluate import EvalBatch, EvaluateConfig

STREAM = "selection"  # of the episodes that a value head is fitted to
FRAMES = 8192  # of demonstrations at most, that pseudo-counts are fitted to
BATCH = 128  # frames that are encoded at once


class PlayedEpisodes(NamedTuple):
    """Episodes with the features of their chunks."""

    features: np.ndarray  # float32 [N, T, W]
    success: np.ndarray  # bool [N]
    valid: np.ndarray  # bool [N, T]: chunks that began before the episode's end
    steps: np.ndarray  # float32 [N], control steps


def with_network(
    chosen: EvaluatedPolicy,
    selector: str | None,
    environment: Environment,
    config: EvaluateConfig,
    *,
    episodes: int,
) -> EvaluatedPolicy:
    """The policy with the network that its selector scores by, where it needs one.

    Args:
      chosen: the policy.
      selector: a key of `candidates.SCORE_FNS`; None: there is none.
      environment: that it is evaluated in.
      config: of the evaluation.
      episodes: to be played for a value head.
    """
    key = rng.named_key(chosen.config.seed, STREAM)
    if selector == "count":
        network = _counting(key, chosen, config.exec_horizon)
    elif selector == "value":
        starts = evaluate.eval_initial_states(
            chosen.config.seed,
            chosen.config.tasks,
            EvaluateConfig(episodes, episodes, config.chunks, config.exec_horizon),
            stream=STREAM,
        )
        seen = episodes_with_features(chosen, environment, starts, config)
        arrays = (seen.features, seen.success, seen.valid)
        network = outcome.fit(key, *map(jnp.asarray, arrays), config=FitConfig())
    else:
        return chosen
    return chosen._replace(params=chosen.params | {SELECTOR: network})


def episodes_with_features(
    chosen: EvaluatedPolicy,
    environment: Environment,
    starts: EvalBatch,
    config: EvaluateConfig,
) -> PlayedEpisodes:
    """Episodes of the policy as it is, with the features of their chunks.

    Args:
      chosen: the policy.
      environment: the simulator.
      starts: of N episodes.
      config: of an evaluation, whose number of episodes does not matter.
    """
    count = len(starts.task)
    sizes = {"episodes": count, "batch_size": count, "recorded": 0}
    settings = EvaluateConfig(**{**vars(config), **sizes})
    program = evaluate.make_evaluate(
        environment, chosen.config.policy, settings, ActingConfig(keep_features=True)
    )
    seen, _ = evaluation_episodes.run_episodes(
        program, chosen, starts, settings, ["all"] * count, shown=0
    )
    began = np.arange(config.chunks) * config.exec_horizon
    valid = began < seen.steps[:, None]
    return PlayedEpisodes(seen.features, seen.success, valid, seen.steps)


def _counting(key: jax.Array, chosen: EvaluatedPolicy, exec_horizon: int) -> Perceptron:
    """The coin-flipping network of the run's demonstrations; consumes `key`.

    Raises:
      ValueError: the run has none.
    """
    config = chosen.config.policy
    run = enclosing_run(paths.parse(chosen.origin.get("checkpoint", "")))
    folder = None if run is None else Path(run) / "demonstrations"
    if folder is None or not folder.is_dir():
        raise ValueError(
            f"{folder or 'That policy'} holds no demonstrations, which "
            "--selector=count counts: evaluate a run that recorded them, or choose "
            "another selector."
        )
    data = sft_data.make_dataset(rlds.read(folder), chosen.normalizer, config=config)
    draw_key, fit_key = jax.random.split(key)
    total = len(data.state) // BATCH * BATCH
    order = jax.random.permutation(draw_key, len(data.state))[: min(total, FRAMES)]
    features_of = jax.jit(
        functools.partial(_frame_features, config=config, exec_horizon=exec_horizon)
    )
    rows = [
        features_of(
            chosen.params, jax.tree.map(lambda x: x[index], data[:4]), data[4:6]
        )
        for index in order.reshape(-1, BATCH)
    ]
    return coin_flips.fit(fit_key, jnp.concatenate(rows), config=FitConfig())


def _frame_features(
    params: PyTree,
    frames: tuple[jax.Array, ...],
    words: tuple[jax.Array, jax.Array],
    *,
    config: PolicyConfig,
    exec_horizon: int,
) -> jax.Array:
    """Features float32 [BATCH, W] of demonstrated chunks."""
    images, state, chunk, instruction = frames
    tokens, mask = (table[instruction] for table in words)
    observation = Observation(images, tokens, mask, state)
    cache = policy.encode_prefix(params, observation, config=config)
    return chunk_features(
        params, cache, state, chunk, config=config, exec_horizon=exec_horizon
    )
