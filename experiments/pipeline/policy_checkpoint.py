"""Finds and restores a policy in the folder of a run, a stage or one checkpoint."""

from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from experiments.configs import quickstart
from experiments.configs.schema import ExperimentConfig, from_config, split_names
from experiments.pipeline.workdir import BEST, Workdir, enclosing_run, read_config
from omnivla_jax.core import checkpoint_files, paths
from omnivla_jax.policy import normalize, policy
from omnivla_jax.train import checkpoints, online, rng, sft, spatial
from omnivla_jax.train.state import TrainState


class RestoredPolicy(NamedTuple):
    """A checkpoint of a run, on one device."""

    config: ExperimentConfig  # of its run
    state: TrainState
    stage: str  # folder that it lies in, such as "online_best"
    update: int  # calls of the stage's step before it
    path: Path


def restore(path: Path, stage: str | None = None) -> RestoredPolicy:
    """Restore the newest checkpoint that `path` contains, or the one that it is.

    Args:
      path: folder of a run, of a stage's checkpoints, or of one checkpoint in a run.
      stage: for the folder of a run, whose checkpoint; None: the last stage's.

    Raises:
      ValueError: `path` lies in no run, holds no such checkpoint, the checkpoint cannot
        be read, or the run is of another version.
    """
    run, name, checkpoint = locate(path, stage)
    settings = read_config(run, quickstart.get_config().to_dict())
    try:
        config = from_config(ConfigDict(settings))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{run} was started by another version of this program, with settings that "
            f"this one lacks ({error}): use that version."
        ) from error
    restored = checkpoints.restore(checkpoint, abstract_state(config, name))
    update = int(checkpoint.name.removeprefix(checkpoint_files.PREFIX))
    return RestoredPolicy(config, restored.tree, name, update, checkpoint)


def locate(path: Path, stage: str | None = None) -> tuple[Path, str, Path]:
    """Find the run, the name of the stage and the checkpoint that `restore` reads.

    Raises:
      ValueError: `path` lies in no run or holds no such checkpoint.
    """
    path = paths.absolute(path)
    run = enclosing_run(path)
    if run is None:
        raise ValueError(
            f"{path} holds no run and lies in none: name a run's folder, or one of its "
            "checkpoints."
        )
    folder = path
    if path in (run, run / "checkpoints"):
        stored = read_config(run, quickstart.get_config().to_dict())
        names = [stage] if stage else list(reversed(split_names(stored["stages"])))
        folders = [Workdir(run).checkpoints(name) for name in names]
        saved = [folder for folder in folders if checkpoints.latest(folder)]
        if not saved:
            raise ValueError(
                f"{folders[0]} holds no checkpoint: train that stage first, or choose "
                "another stage of that run."
            )
        folder = saved[0]
    checkpoint = checkpoints.find(folder)
    name = checkpoint.relative_to(run / "checkpoints").parts[0]
    if stage not in (None, name):
        raise ValueError(f"{path} is a checkpoint of {name}, not of {stage}.")
    return run, name, checkpoint


def abstract_state(config: ExperimentConfig, stage: str) -> TrainState:
    """Shapes of a stage's training state in a run with this config."""

    def create() -> TrainState:
        params = policy.init(rng.named_key(config.seed, "init"), config.policy)
        if stage == "spatial":
            training = config.spatial.training
            return spatial.create(
                params, None, training, config.policy, seed=config.seed
            )
        normalizer = normalize.identity_normalizer(
            config.policy.robot_proprio_dim, config.policy.robot_action_dim
        )
        state = sft.create(params, normalizer, config=config.sft, seed=config.seed)
        if stage.removesuffix(BEST) == "sft":
            return state
        return online.create(
            state,
            config=config.rl,
            policy_config=config.policy,
            num_tasks=len(config.tasks),
        )

    return jax.eval_shape(create)
