"""Converts the config file of an experiment into frozen dataclasses, and checks it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from ml_collections import ConfigDict

from data_pipelines.readers import READERS, grippers
from data_pipelines.readers.options import ReadOptions
from experiments.configs import checks, rl_schema
from experiments.pipeline import imported_weights
from experiments.reporting import progress
from omnivla_jax.core import action_chunks, paths
from omnivla_jax.core.orientation import CONVENTIONS
from omnivla_jax.policy import norm_stats
from omnivla_jax.policy.config import PolicyConfig, choose, preset
from omnivla_jax.policy.heads import action_head
from omnivla_jax.policy.heads.base import Sampler
from omnivla_jax.policy.tokenizers import registry as tokenizers
from omnivla_jax.sim.libero import tasks as task_tables
from omnivla_jax.sim.libero.tasks import Suite
from omnivla_jax.train import sft
from omnivla_jax.train.evaluate import EvaluateConfig
from omnivla_jax.train.online.config import OnlineConfig
from omnivla_jax.train.sft import SftConfig
from omnivla_jax.train.spatial import SpatialConfig
from omnivla_jax.train.spatial.losses import LossWeights
from omnivla_jax.train.state import OptimizerConfig
from omnivla_jax.world.perturbations import kinds, training_draws
from omnivla_jax.world.perturbations.training_draws import PerturbConfig
from omnivla_jax.world.random_scenes import SceneRanges

# What draws the frames beforehand, see `sft.drawn_rows`; None: each once an epoch.
STREAMING_ORDERS = {"epochs": None, "in_memory": sft.drawn_rows}


@dataclass(frozen=True)
class DemonstrationConfig:
    """Settings of recording the scripted expert."""

    episodes: int  # to keep, as many of each task as possible
    batch_size: int  # episodes that are stepped together
    steps: int  # time limit, in control steps
    noise: float  # standard deviation of the action noise
    attempts: int = 4  # batches without enough successes before giving up


@dataclass(frozen=True)
class DataConfig:
    """Source of the demonstrations, and how they become action chunks."""

    source: str  # "expert", "auto" or a name of `data_pipelines.readers.READERS`
    path: Path | None  # of the dataset; None with the expert
    options: ReadOptions  # of the reader
    all_tasks: bool  # train on the dataset's other instructions, too
    padding: str  # rule for the last chunks, of `core.action_chunks`
    streaming: bool  # from the files, instead of a dataset on the device
    streaming_order: str  # a key of `STREAMING_ORDERS`
    norm_stats: Path | None  # statistics file; None: moments of the demonstrations
    normalization: str  # with a file: one of `policy.norm_stats.MODES`


@dataclass(frozen=True)
class SpatialStageConfig:
    """Stage I, and the scenes that it draws."""

    training: SpatialConfig
    suites: tuple[str, ...]  # that scenes are drawn of
    pool_episodes: int  # of the expert, whose states scenes start from; 0: none
    ranges: SceneRanges
    evaluation_scenes: int  # held-out ones of each suite and kind of camera
    split: str  # of `perturbations.kinds.SPLITS`, of its cameras, lights, materials


@dataclass(frozen=True)
class ExperimentConfig:
    """All settings of a run."""

    seed: int
    stages: tuple[str, ...]  # names of `pipeline.training.STAGES`, in order
    init_checkpoint: Path | None  # policy that the first stage starts from
    suite: str  # "": none, a dataset alone
    task_files: Mapping[str, Any]  # arguments of `tasks.suite` for a user's files
    tasks: tuple[int, ...]  # rows of the suite's task table
    engine: str  # key of `sim.engines.registry.ENGINES`, or `auto`
    image_size: int
    policy: PolicyConfig
    weights: Path | None  # imported weights; None: random parameters
    sampler: Sampler
    demonstrations: DemonstrationConfig
    data: DataConfig
    spatial: SpatialStageConfig
    sft: SftConfig
    rl: OnlineConfig
    evaluation: EvaluateConfig
    save_every: int  # calls of a training stage between two checkpoints
    evaluate_every: int  # online updates between two validations; 0: never
    validation: EvaluateConfig  # of the best checkpoint
    video_size: int  # pixels a side of each picture
    profile_update: bool  # whether an update is timed by its parts after training
    perturb: PerturbConfig | None = None  # of training's episodes; None: nothing
    perturb_stages: tuple[str, ...] = ()  # whose episodes are perturbed
    video_supersample: int = 2  # rays per pixel along a side

    @property
    def simulated(self) -> bool:
        """Whether there is a simulator; a dataset of another robot has none."""
        return bool(self.suite)

    def perturb_in(self, stage: str) -> PerturbConfig | None:
        """What perturbs the episodes of a stage; None: nothing."""
        return self.perturb if stage in self.perturb_stages else None

    @property
    def task_table(self) -> Suite:
        """The suite, with `task_files` as options."""
        return task_tables.suite(self.suite, **self.task_files)


def from_config(config: ConfigDict) -> ExperimentConfig:
    """Check and convert a config.

    Args:
      config: as `configs.quickstart.get_config` returns it.

    Raises:
      ValueError: a setting is wrong; the message names it and a remedy.
    """
    raw = config.to_dict()
    folder, start = _weights(raw["policy"]), raw["init_checkpoint"]
    policy = _policy(raw["policy"], folder)
    checks.check_sizes(raw, policy)
    if raw["suite"]:
        checks.check_suite(raw)
    else:
        _check_dataset_alone(raw)
    sampler = action_head(policy).make_sampler(
        raw["sampler"], exec_horizon=raw["exec_horizon"]
    )
    evaluation = EvaluateConfig(
        chunks=raw["chunks"], exec_horizon=raw["exec_horizon"], **raw["evaluation"]
    )
    perturb, perturb_stages = _perturb(raw)
    rl = rl_schema.online_config(raw["rl"], raw["chunks"], policy, sampler)
    if "online" in perturb_stages:
        rl = dataclasses.replace(rl, perturb=perturb)
    sft_optimizer = OptimizerConfig(
        decay_steps=raw["sft"]["steps"], **raw["sft"]["optimizer"]
    )
    return ExperimentConfig(
        seed=raw["seed"],
        stages=split_names(raw["stages"]),
        init_checkpoint=paths.parse(start) if start else None,
        suite=raw["suite"],
        task_files=raw["task_files"],
        tasks=tuple(raw["tasks"]),
        engine=raw["engine"],
        image_size=raw["image_size"],
        policy=policy,
        weights=folder,
        sampler=sampler,
        demonstrations=_demonstrations(raw),
        data=_data(raw["data"], raw["seed"]),
        spatial=_spatial(raw),
        sft=SftConfig(**raw["sft"] | {"optimizer": sft_optimizer}),
        rl=rl,
        evaluation=evaluation,
        save_every=raw["save_every"],
        evaluate_every=raw["evaluate_every"],
        validation=dataclasses.replace(evaluation, episodes=raw["validation_episodes"]),
        video_size=raw["video_size"],
        profile_update=raw["profile_update"],
        perturb=perturb,
        perturb_stages=perturb_stages,
    )


def _perturb(
    raw: Mapping[str, Any],
) -> tuple[PerturbConfig | None, tuple[str, ...]]:
    """What episodes are perturbed by, and in which stages."""
    fields = dict(raw.get("perturb", {}))  # runs of earlier releases have none
    names = split_names([fields.pop("kinds", "")])
    stages = split_names([fields.pop("stages", "")])
    if not names:
        return None, ()
    choices = dict.fromkeys(("sft", "online"))
    for stage in stages:
        choose("perturb.stages", stage, choices)
    if not raw["suite"] or ("sft" in stages and raw["data"]["source"] != "expert"):
        raise ValueError(
            f"perturb.kinds={','.join(names)} perturbs episodes of the simulator, but "
            "demonstrations are read from a dataset: set perturb.stages=online."
        )
    return PerturbConfig(names, **fields), stages


def split_names(texts: Sequence[str]) -> tuple[str, ...]:
    """Names in a config; the command line's "sft,online" is one text."""
    return tuple(name for text in texts for name in text.split(",") if name)


def _policy(raw: Mapping[str, Any], folder: Path | None) -> PolicyConfig:
    changes = {
        name: value
        for name, value in raw.items()
        if name not in ("preset", "spatial", "weights") and value is not None
    }
    changes["delta_mask"] = _delta_mask(raw["delta_mask"])
    changes["horizons"] = tuple(raw["horizons"])  # a list where it was stored
    config = dataclasses.replace(preset(raw["preset"]), **changes)
    if not raw["spatial"]:
        config = config.without_spatial()
    if folder is not None:
        config = imported_weights.update_config(folder, config)
    tokenizers.make_tokenizer(config)  # refuses a wrong path before the run starts
    return config


def _delta_mask(text: str) -> tuple[bool, ...]:
    """A mask in openpi's writing, "6,-1"; "" is none."""
    try:
        runs = [int(word) for word in split_names([text])]
    except ValueError as error:
        raise ValueError(
            f"policy.delta_mask={text!r}: write numbers of dimensions, such as 6,-1."
        ) from error
    return tuple(run > 0 for run in runs for _ in range(abs(run)))


def _weights(raw: Mapping[str, Any]) -> Path | None:
    if not raw["weights"]:
        return None
    path = Path(raw["weights"]).expanduser()
    folder = imported_weights.locate(path)
    if folder != path:
        progress.note("Weights", f"{path} means {folder}")
    return folder


def _demonstrations(raw: Mapping[str, Any]) -> DemonstrationConfig:
    fields, tasks = raw["demonstrations"], len(raw["tasks"])
    if raw["data"]["source"] == "expert" and fields["episodes"] < tasks:
        raise ValueError(
            f"demonstrations.episodes={fields['episodes']} for {tasks} tasks: keep at "
            "least one of each."
        )
    return DemonstrationConfig(**fields)


def _data(raw: Mapping[str, Any], seed: int) -> DataConfig:
    source = raw["source"]
    path = Path(raw["path"]).expanduser() if raw["path"] else None
    choose("data.source", source, {"expert": None, "auto": None, **READERS})
    if paths.is_remote(raw["path"]):
        raise ValueError(
            f"data.path={raw['path']} lies in a bucket, which no reader reads: copy it "
            "to a disk of each host, or mount it there."
        )
    if source == "expert" and path is not None:
        raise ValueError(
            f"data.path={path} is not read with data.source=expert: add "
            "--config.data.source=auto, or leave out the path."
        )
    if source != "expert" and path is None:
        raise ValueError(
            f"data.source={source} needs --config.data.path=FOLDER of the dataset."
        )
    if raw["image_convention"] is not None:
        choose("data.image_convention", raw["image_convention"], CONVENTIONS)
    if raw["gripper"] is not None:
        choose("data.gripper", raw["gripper"], grippers.MEANINGS)
    action_chunks.check_padding(raw["padding"])
    choose("data.streaming_order", raw["streaming_order"], STREAMING_ORDERS)
    choose("data.normalization", raw["normalization"], norm_stats.MODES)
    options = ReadOptions(
        image_convention=raw["image_convention"],
        cameras=split_names([raw["cameras"]]),
        state_keys=split_names([raw["state_keys"]]),
        action_keys=split_names([raw["action_keys"]]),
        fps=raw["fps"],
        split=raw["split"],
        gripper=raw["gripper"],
        remove_noops=raw["remove_noops"],
        seed=seed,
    )
    return DataConfig(
        source=source,
        path=path,
        options=options,
        all_tasks=raw["all_tasks"],
        padding=raw["padding"],
        streaming=raw["streaming"],
        streaming_order=raw["streaming_order"],
        norm_stats=Path(raw["norm_stats"]).expanduser() if raw["norm_stats"] else None,
        normalization=raw["normalization"],
    )


def _spatial(raw: Mapping[str, Any]) -> SpatialStageConfig:
    fields = dict(raw["spatial"])
    optimizer = OptimizerConfig(decay_steps=fields["steps"], **fields.pop("optimizer"))
    suites = split_names([fields.pop("suites")]) or (raw["suite"],)
    ranges = SceneRanges(**fields.pop("ranges"))
    ranges = ranges._replace(camera_kinds=tuple(ranges.camera_kinds))
    pool, scenes = fields.pop("pool_episodes"), fields.pop("evaluation_scenes")
    weights = LossWeights(**fields.pop("weights"))
    training = SpatialConfig(optimizer=optimizer, weights=weights, **fields)
    perturb = training_draws.defaults() | raw.get("perturb", {})
    split: str = perturb["split"]
    kinds.allowed(1, split)
    return SpatialStageConfig(training, suites, pool, ranges, scenes, split)


def _check_dataset_alone(raw: Mapping[str, Any]) -> None:
    """Refuse what takes a simulator, and a rule that takes relative actions."""
    stages, data = split_names(raw["stages"]), raw["data"]
    if stages != ("sft",) or data["source"] == "expert":
        raise ValueError(
            'suite="" is no simulator: give --config.stages=sft and a dataset by '
            "--config.data.source=auto --config.data.path=FOLDER, or name a suite."
        )
    if not data["cameras"]:
        raise ValueError(
            "Another robot's pictures have no known order: name them as the policy is "
            "to get them by --config.data.cameras=NAME,NAME."
        )
    if data["padding"] == "hold":
        raise ValueError(
            "data.padding=hold ends chunks in actions of 0, which stand still on "
            "LIBERO's robot only: add --config.data.padding=clamp, mask or drop."
        )
