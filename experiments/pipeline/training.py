"""The training stages by name: spatial pre-training, fine-tuning and online RL.

A further stage is one function and one entry of `STAGES`.
"""

import dataclasses
import functools
from typing import Any, Callable, Mapping, Sequence

import jax.numpy as jnp

from data_pipelines import streaming
from data_pipelines.readers.options import InputNames
from experiments.configs.schema import STREAMING_ORDERS, ExperimentConfig
from experiments.pipeline import policy_checkpoint, spatial_stage, stage_setup
from experiments.pipeline.run_context import RunContext
from experiments.pipeline.training_stage import TrainingStage
from experiments.reporting import progress
from omnivla_jax.core.types import Demonstration, FrameBatch, PyTree
from omnivla_jax.policy import norm_stats
from omnivla_jax.policy.inference import PolicySpec
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.train import input_feed, loop, online, rng, sft, sft_data, spatial
from omnivla_jax.train.state import TrainState, eval_params

# The share of a streamed call's time in which the device waited for its batches.
INPUT_BOUND = "input_bound"

Demonstrations = Callable[[], list[Demonstration]]
# (run, state to start from, demonstrations) -> stage
MakeStage = Callable[[RunContext, TrainState | None, Demonstrations], TrainingStage]


def sft_stage(
    context: RunContext, initial: TrainState | None, demonstrations: Demonstrations
) -> TrainingStage:
    """Stage II, flow matching on demonstrations.

    Args:
      context: of the run.
      initial: its parameters and normalizer are trained on; None: imported or random
        parameters, and the normalizer of `data.norm_stats` or of the demonstrations,
        which stage I leaves to this stage as well.
      demonstrations: called once training starts.

    Raises:
      ValueError: the mesh does not divide the batch.
    """
    config, streaming = context.config.sft, context.config.data.streaming
    key = rng.named_key(context.config.seed, "init")
    create = functools.partial(sft.create, config=config, seed=context.config.seed)
    if context.mesh is not None:
        num_parts = context.mesh.shape["data"] * context.mesh.shape["fsdp"]
        if config.batch_size % num_parts:
            raise ValueError(
                f"sft.batch_size={config.batch_size} does not divide over {num_parts} "
                "devices: make it a multiple, or choose other --data and --fsdp."
            )

    def init() -> tuple[TrainState, loop.Step]:
        episodes = demonstrations()
        params = (
            stage_setup.initial_params(context, key)
            if initial is None
            else eval_params(initial)
        )
        normalizer = None if initial is None else initial.normalizer
        if normalizer is None:
            stored = _stored_normalizer(context.config)
            fitted = stored or sft_data.fit_normalizer(episodes)
            padding = context.config.data.padding
            params = sft_data.fit_codec(
                params, episodes, fitted, config=context.config.policy, padding=padding
            )
            normalizer = stage_setup.shard(context, fitted)
        if config.geometry_weight:
            params = _with_decoder(context, params, initial)
        state = stage_setup.init_sharded(context, create, params, normalizer)
        make_step = _streamed_step if streaming else _resident_step
        return state, make_step(context, state, episodes)

    return TrainingStage(
        name="sft",
        title="SFT",
        unit="call" if config.steps_per_call > 1 else "step",
        num_calls=config.steps // config.steps_per_call,
        abstract_state=stage_setup.abstract_state(context, "sft"),
        init=init,
        displayed_metrics=("loss", INPUT_BOUND) if streaming else ("loss",),
        policy=_policy_spec(context),
    )


def _resident_step(
    context: RunContext, state: TrainState, episodes: Sequence[Demonstration]
) -> loop.Step:
    """The step of `sft_stage` on a dataset that lies on the device."""
    config, policy_config = context.config.sft, context.config.policy
    dataset = sft_data.make_dataset(
        episodes,
        state.normalizer,
        config=policy_config,
        padding=context.config.data.padding,
    )
    dataset = stage_setup.shard(context, dataset)
    step = sft.make_step(
        policy_config,
        config,
        geometry_loss=_geometry_loss(context),
        mesh_sharding=stage_setup.mesh_sharding(context),
    )
    compiled = stage_setup.compile_step(step, state, dataset)
    return lambda state: compiled(state, dataset)


def _streamed_step(
    context: RunContext, state: TrainState, episodes: Sequence[Demonstration]
) -> loop.Step:
    """The step of `sft_stage` fed from files: the batches follow from the state's step.

    A resumed run continues with the batches that it would have had.
    """
    config, policy_config = context.config.sft, context.config.policy
    texts, table = sft_data.instruction_table(episodes, policy_config)
    draw = STREAMING_ORDERS[context.config.data.streaming_order]
    frames = streaming.TrainingFrames(
        episodes,
        texts,
        horizon=policy_config.horizon,
        padding=context.config.data.padding,
        seed=context.config.seed,
        draw=draw and functools.partial(draw, context.config.seed, config),
    )
    rows = input_feed.local_rows(context.mesh, config.batch_size)
    stream = streaming.BatchStream(frames, config.batch_size, rows=rows)

    def fetch() -> FrameBatch:
        batches = streaming.stack_batches(stream, config.steps_per_call)
        return input_feed.put_rows(
            batches, rows, mesh=context.mesh, size=config.batch_size
        )

    step = sft.make_streamed_step(
        policy_config,
        config,
        table,
        geometry_loss=_geometry_loss(context),
        mesh_sharding=stage_setup.mesh_sharding(context),
    )
    compiled = stage_setup.compile_step(step, state, fetch())
    feed = input_feed.InputFeed(fetch, stream.set_state)

    def run(state: TrainState) -> tuple[TrainState, Any]:
        batches, input_bound = feed.take(state.step)
        state, metrics = compiled(state, batches)
        return state, {**metrics, INPUT_BOUND: round(input_bound, 4)}

    return run


def _with_decoder(
    context: RunContext, params: PyTree, initial: TrainState | None
) -> PyTree:
    """The parameters with stage I's decoder, or a fresh one where it did not run."""
    if initial is not None and spatial.DECODER in initial.params:
        return {**params, spatial.DECODER: initial.params[spatial.DECODER]}
    config = context.config
    return spatial.with_decoder(
        params, config.spatial.training, config.policy, seed=config.seed
    )


def _geometry_loss(context: RunContext) -> sft.GeometryLoss | None:
    """Stage I's loss, where fine-tuning keeps it."""
    config = context.config
    if not config.sft.geometry_weight:
        return None
    return spatial.make_loss(
        spatial_stage.draw_scenes(context),
        config.spatial.training,
        config.policy,
        scenes=config.sft.geometry_scenes,
    )


def online_stage(
    context: RunContext, initial: TrainState | None, demonstrations: Demonstrations
) -> TrainingStage:
    """Stage III, online reinforcement learning in the simulator.

    Args:
      context: of the run.
      initial: state of the policy that acts first.
      demonstrations: not used.
    """
    del demonstrations
    assert initial is not None  # see `check_start`
    config = context.config
    create = functools.partial(
        online.create,
        config=config.rl,
        policy_config=config.policy,
        num_tasks=len(config.tasks),
    )

    def init() -> tuple[TrainState, loop.Step]:
        state = stage_setup.init_sharded(context, create, initial)
        key = stage_setup.shard(context, rng.named_key(config.seed, "online"))
        step = online.make_step(
            context.environment,
            config.tasks,
            policy_config=config.policy,
            sampler=config.sampler,
            config=config.rl,
            mesh_sharding=stage_setup.mesh_sharding(context),
        )
        compiled = stage_setup.compile_step(step, state, key)
        return state, lambda state: compiled(state, key)

    return TrainingStage(
        name="online",
        title=f"Online RL ({config.rl.objective.name})",
        unit="update",
        num_calls=config.rl.updates,
        abstract_state=stage_setup.abstract_state(context, "online"),
        init=init,
        displayed_metrics=("success", "reward", "clip_fraction"),
        evaluate_every=config.evaluate_every,
        policy=_policy_spec(context),
    )


# In this order where a run has several.
STAGES: Mapping[str, MakeStage] = {
    "spatial": spatial_stage.spatial_stage,
    "sft": sft_stage,
    "online": online_stage,
}


def check_start(config: ExperimentConfig) -> None:
    """Refuse a run that cannot start, before its folder is made.

    Raises:
      ValueError: the stages are not in the order of `STAGES`, `init_checkpoint` is no
        checkpoint of a run, online training has no policy to start from, or stage I no
        spatial expert to train;
        `data.norm_stats` cannot be read or is not used, or is missing for deltas.
    """
    names = config.stages
    if not names or list(names) != [name for name in STAGES if name in names]:
        raise ValueError(
            f"stages={','.join(names)} must name stages once and in this order: "
            f"{','.join(STAGES)}."
        )
    if config.init_checkpoint is None:
        if _stored_normalizer(config) is None and config.policy.delta_mask:
            raise ValueError(
                "policy.delta_mask needs the statistics of relative actions: make them "
                "with experiments.norm_stats and give --config.data.norm_stats=FILE."
            )
    elif config.data.norm_stats is not None:
        raise ValueError(
            f"data.norm_stats={config.data.norm_stats} is not used with "
            "init_checkpoint, whose policy keeps its statistics: leave one out."
        )
    if "spatial" in names:
        spatial.decoder_config(config.spatial.training, config.policy)
    if config.init_checkpoint is not None:
        policy_checkpoint.locate(config.init_checkpoint)
    elif "online" in names and "sft" not in names:
        raise ValueError(
            "The stage online starts from a policy that acts: put sft before it in "
            "stages, or give --config.init_checkpoint=FOLDER."
        )


def restore_initial_state(context: RunContext) -> TrainState | None:
    """The policy of the config's `init_checkpoint`, on the run's mesh; None: none.

    Raises:
      ValueError: there is no such checkpoint, or its policy has another config.
    """
    config = context.config
    if config.init_checkpoint is None:
        return None
    restored = policy_checkpoint.restore(config.init_checkpoint)
    if restored.config.policy != config.policy:
        raise ValueError(
            f"init_checkpoint={config.init_checkpoint} holds a policy of another "
            "config.policy: give the same settings as that run."
        )
    progress.note("Initial policy", str(restored.path))
    seed = jnp.asarray(config.seed, jnp.uint32)
    return stage_setup.shard(context, dataclasses.replace(restored.state, seed=seed))


def _stored_normalizer(config: ExperimentConfig) -> Normalizer | None:
    """The normalizer of `data.norm_stats`; None where no file is named."""
    if config.data.norm_stats is None:
        return None
    return norm_stats.read(
        config.data.norm_stats,
        config.data.normalization,
        proprio_dim=config.policy.robot_proprio_dim,
        action_dim=config.policy.robot_action_dim,
    )


def _policy_spec(context: RunContext) -> dict[str, Any]:
    """The description of the run's policy that its checkpoints hold."""
    config = context.config
    names = InputNames()
    if config.simulated:
        tasks = config.task_table.tasks
        texts = [tasks[number].instruction for number in config.tasks]
    else:
        demonstrated = context.workdir.result("demonstrations")
        assert demonstrated is not None  # that phase comes before
        texts = demonstrated["instructions"]
        # Runs of earlier releases have none.
        cameras = demonstrated.get("cameras", config.data.options.cameras)
        names = InputNames(tuple(cameras), tuple(demonstrated.get("state_keys", ())))
    spec = PolicySpec(
        config.policy,
        exec_horizon=config.evaluation.exec_horizon,
        ode_steps=config.evaluation.steps,
        instructions=tuple(dict.fromkeys(texts)),
        cameras=names.cameras,
        state_keys=names.state,
    )
    return spec.to_json()
