"""Stage I of a run: spatial pre-training on random scenes of one or several suites."""

import functools
from typing import Any, Iterator

from experiments.pipeline import stage_setup
from experiments.pipeline.run_context import RunContext
from experiments.pipeline.training_stage import TrainingStage
from experiments.reporting import progress
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.engines.registry import ENGINES
from omnivla_jax.sim.scene import Scene
from omnivla_jax.train import loop, rng, spatial
from omnivla_jax.train.spatial import scenes as spatial_scenes
from omnivla_jax.train.spatial.step import DrawScenes
from omnivla_jax.train.state import TrainState, eval_params
from omnivla_jax.world import expert, random_scenes
from omnivla_jax.world.random_scenes import StatePool


def spatial_stage(
    context: RunContext, initial: TrainState | None, demonstrations: Any
) -> TrainingStage:
    """Stage I: the spatial and the reasoning expert learn geometry.

    Args:
      context: of the run.
      initial: its parameters are trained on; None: imported or random parameters.
      demonstrations: not used.
    """
    del demonstrations
    config, policy_config = context.config.spatial, context.config.policy
    create = functools.partial(
        spatial.create,
        config=config.training,
        policy_config=policy_config,
        seed=context.config.seed,
    )

    def init() -> tuple[TrainState, loop.Step]:
        key = rng.named_key(context.config.seed, "init")
        normalizer = None if initial is None else initial.normalizer
        params = (
            stage_setup.initial_params(context, key)
            if initial is None
            else eval_params(initial)
        )
        state = stage_setup.init_sharded(context, create, params, normalizer)
        step = spatial.make_step(
            draw_scenes(context),
            config.training,
            policy_config,
            supports_fusion=ENGINES[context.scene.engine].supports_fusion,
            mesh_sharding=stage_setup.mesh_sharding(context),
        )
        return state, stage_setup.compile_step(step, state)

    return TrainingStage(
        name="spatial",
        title="Spatial pre-training",
        unit="call" if config.training.steps_per_call > 1 else "step",
        num_calls=config.training.steps // config.training.steps_per_call,
        abstract_state=stage_setup.abstract_state(context, "spatial"),
        init=init,
        displayed_metrics=("loss", "points_loss", "camera_loss"),
    )


def draw_scenes(context: RunContext) -> DrawScenes:
    """The function that draws the stage's batches, of all its suites.

    Args:
      context: of the run.
    """
    split = context.config.spatial.split
    draws = [draw for _, draw in draw_functions(context, split)]
    return spatial_scenes.mixed(draws, context.config.spatial.ranges)


def draw_functions(
    context: RunContext, split: str
) -> Iterator[tuple[str, spatial_scenes.DrawSuite]]:
    """The name of each of the stage's suites, and the function that draws its scenes.

    Args:
      context: of the run.
      split: of `perturbations.kinds.SPLITS`.
    """
    config = context.config
    for suite in config.spatial.suites:
        scene = context.scene
        if suite != config.suite:
            scene = scenes.make(suite, engine=scene.engine)
        draw = spatial_scenes.make_draw(
            scene,
            config.policy,
            size=config.image_size,
            pool=_pool(context, scene),
            split=split,
        )
        yield suite, draw


def _pool(context: RunContext, scene: Scene) -> StatePool | None:
    """States along the expert's episodes; None where it knows no task."""
    config = context.config
    tasks = [row for row in scene.task_ids if expert.find_skill(scene.tasks[row])]
    if not config.spatial.pool_episodes or not tasks:
        progress.note("Scenes", f"{scene.name}: fresh layouts alone")
        return None
    return random_scenes.make_pool(
        scene,
        rng.named_key(config.seed, "spatial"),
        tasks,
        episodes=config.spatial.pool_episodes,
        steps=config.demonstrations.steps,
    )
