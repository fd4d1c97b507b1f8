"""The programs that `benchmarks.aot` compiles, with their arguments as shapes.

Nothing is computed: parameters, states and images exist as shapes with shardings.
Axes: B environments, split over the mesh's `data` and `fsdp`.
"""

import functools
from typing import Any, Callable, NamedTuple, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.benchmarks.lib import online_timing, policy_timing
from experiments.configs import quickstart
from experiments.configs.schema import ExperimentConfig, from_config
from omnivla_jax.core import compile as compilation
from omnivla_jax.core.sharding import batch_sharding
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import config as policy_configs
from omnivla_jax.policy import policy
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.train import environment, online, sharding, spatial
from omnivla_jax.train.agent import Agent
from omnivla_jax.train.online.rollout import collect
from omnivla_jax.train.online.update import update_epochs
from omnivla_jax.train.spatial import scenes as spatial_scenes
from omnivla_jax.train.state import OptimizerConfig, TrainState
from omnivla_jax.world import observe, visual_scene
from omnivla_jax.world.random_scenes import SceneRanges

TASKS = (1, 7, 8)  # the quickstart's three of libero_goal


class ProgramOptions(NamedTuple):
    """What a program is compiled for; each reads what it needs."""

    preset: str  # of the policy
    num_envs: int
    batch_size: int  # observations of an SFT step, scenes of a spatial one
    image_size: int
    physics_preset: str
    grad_accum_steps: int
    suite: str = "libero_goal"
    tasks: Sequence[int] = TASKS


class Workload(NamedTuple):
    """A function to lower, and what to lower it for."""

    function: Any  # jitted
    arguments: tuple[PyTree, ...]  # of shapes with shardings
    sizes: dict[str, int]  # what its numbers are shared out over


def render(options: ProgramOptions, mesh: Mesh) -> Workload:
    """Both cameras of every environment, without shadows as for policies."""
    scene = _scene(options)
    visuals, state = visual_scene.make(scene), _states(scene, options.num_envs)
    draw = functools.partial(observe.images, visuals, size=options.image_size)
    sizes = {
        "num_envs": options.num_envs,
        "pictures": options.num_envs * len(visuals.cameras),
    }
    return Workload(_split(draw, mesh), _rows((state.physics,), mesh), sizes)


def step(options: ProgramOptions, mesh: Mesh) -> Workload:
    """One control step of the simulator."""
    scene = _scene(options)
    state = _states(scene, options.num_envs)
    action = jax.ShapeDtypeStruct((options.num_envs, env.ACTION_SIZE), jnp.float32)
    function = _split(functools.partial(env.step, scene), mesh)
    return Workload(
        function, _rows((state, action), mesh), {"num_envs": options.num_envs}
    )


def rollout(options: ProgramOptions, mesh: Mesh) -> Workload:
    """The episodes of an online update: policy, physics and cameras."""
    experiment, simulator, state = _online(options, mesh)
    run_episodes = _episodes(experiment, simulator, mesh)
    function = compilation.jit(run_episodes, fused=simulator.supports_fusion)
    return Workload(function, (state, _key(mesh)), {"num_envs": options.num_envs})


def online_step(options: ProgramOptions, mesh: Mesh) -> Workload:
    """A whole online update of the quickstart, with this policy and batch."""
    experiment, simulator, state = _online(options, mesh)
    function = online.make_step(
        simulator,
        experiment.tasks,
        policy_config=experiment.policy,
        sampler=experiment.sampler,
        config=experiment.rl,
        mesh_sharding=sharding.on_mesh(mesh, experiment.policy),
    )
    return Workload(function, (state, _key(mesh)), {"num_envs": options.num_envs})


def update(options: ProgramOptions, mesh: Mesh) -> Workload:
    """The learning half of an online update, its rollout as an argument."""
    experiment, simulator, state = _online(options, mesh)
    on_mesh = sharding.on_mesh(mesh, experiment.policy)
    batch, *_ = jax.eval_shape(
        _episodes(experiment, simulator, mesh), state, jax.random.key(0)
    )

    def learn(state: TrainState, key: jax.Array, batch: PyTree) -> PyTree:
        after, metrics = update_epochs(
            state,
            key,
            batch,
            agent=_agent(experiment, simulator, state),
            config=experiment.rl,
            mesh_sharding=on_mesh,
        )
        return on_mesh.constrain_state(after), metrics

    function = compilation.jit(
        on_mesh.with_mesh(learn), fused=True, donate_argnames=("state",)
    )
    arguments = (state, _key(mesh), *_rows((batch,), mesh))
    return Workload(function, arguments, {"num_envs": options.num_envs})


def spatial_step(options: ProgramOptions, mesh: Mesh) -> Workload:
    """An optimizer step of stage I; VGGT's aggregator is frozen where it is used."""
    policy_config = policy_configs.preset(options.preset)
    config = spatial.SpatialConfig(
        OptimizerConfig(learning_rate=1e-3),
        steps=1,
        steps_per_call=1,
        batch_size=options.batch_size,
        frozen_encoder=policy_config.dino is not None,
    )
    draw = spatial_scenes.make_draw(
        _scene(options),
        policy_config,
        size=policy_config.vision.image_size,
        pool=None,
    )
    on_mesh = sharding.on_mesh(mesh, policy_config)
    function = spatial.make_step(
        spatial_scenes.mixed([draw], SceneRanges()),
        config,
        policy_config,
        mesh_sharding=on_mesh,
    )

    def init(key: jax.Array) -> TrainState:
        params = policy.init(key, policy_config)
        return spatial.create(params, None, config, policy_config, seed=0)

    state = jax.eval_shape(init, jax.random.key(0))
    state = _placed(state, sharding.shardings(state, mesh, policy_config))
    return Workload(function, (state,), {"batch_size": options.batch_size})


def sft_step(options: ProgramOptions, mesh: Mesh) -> Workload:
    """An optimizer step of supervised fine-tuning."""
    config = policy_configs.preset(options.preset)
    function, init = policy_timing.sft_step(
        config,
        batch=options.batch_size,
        mesh_sharding=sharding.on_mesh(mesh, config),
    )
    state = jax.eval_shape(init, jax.random.key(0))
    state = _placed(state, sharding.shardings(state, mesh, config))
    data = jax.eval_shape(
        lambda: policy_timing.random_dataset(config, options.batch_size)
    )
    replicated = NamedSharding(mesh, PartitionSpec())
    data = _placed(data, jax.tree.map(lambda _: replicated, data))
    return Workload(function, (state, data), {"batch_size": options.batch_size})


PROGRAMS: dict[str, Callable[[ProgramOptions, Mesh], Workload]] = {
    "render": render,
    "step": step,
    "rollout": rollout,
    "online": online_step,
    "update": update,
    "sft": sft_step,
    "spatial": spatial_step,
}


def _scene(options: ProgramOptions) -> Scene:
    return scenes.make(
        options.suite,
        tasks=options.tasks,
        engine="mjx",
        preset=options.physics_preset,
    )


def _states(scene: Scene, count: int) -> EnvState:
    """Shapes of `count` environments after a reset."""
    task = jnp.resize(jnp.asarray(scene.task_ids), (count,))
    return jax.eval_shape(
        lambda: env.reset(scene, task, jax.random.split(jax.random.key(0), count))
    )


def _online(
    options: ProgramOptions, mesh: Mesh
) -> tuple[ExperimentConfig, environment.Environment, PyTree]:
    """The quickstart with another policy and batch, its simulator, its state."""
    config = quickstart.get_config()
    config.engine, config.policy.preset = "mjx", options.preset
    config.image_size = policy_configs.preset(options.preset).vision.image_size
    config.rl.groups = max(options.num_envs // config.rl.group_size, 1)
    config.rl.grad_accum_steps = options.grad_accum_steps
    experiment = from_config(config)
    simulator = environment.simulator(
        _scene(options), experiment.policy, size=experiment.image_size
    )
    # `sft.fresh_params` compiles apart, which takes values.
    state = jax.eval_shape(lambda: online_timing.untrained(experiment, policy.init))
    shardings = sharding.shardings(state, mesh, experiment.policy)
    return experiment, simulator, _placed(state, shardings)


def _episodes(
    experiment: ExperimentConfig, simulator: environment.Environment, mesh: Mesh
) -> Callable[[TrainState, jax.Array], PyTree]:
    """(state, key) -> what an update learns from, metrics, the tasks' successes."""
    on_mesh = sharding.on_mesh(mesh, experiment.policy)
    split = environment.shard_map_environment(simulator, on_mesh.shard_map_batch)
    return lambda state, key: collect(
        _agent(experiment, split, state),
        state.params,
        key,
        split,
        experiment.tasks,
        config=experiment.rl,
        mesh_sharding=on_mesh,
    )


def _agent(
    experiment: ExperimentConfig, simulator: environment.Environment, state: TrainState
) -> Agent:
    return online.make_agent(
        simulator,
        experiment.policy,
        experiment.sampler,
        state.normalizer,
        experiment.rl,
    )


def _split(function: Callable[..., PyTree], mesh: Mesh) -> Any:
    """`function` of batches, compiled, every device running its own rows."""
    spec = batch_sharding(mesh).spec
    return compilation.jit(
        jax.shard_map(
            function, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False
        )
    )


def _rows(trees: tuple[PyTree, ...], mesh: Mesh) -> tuple[PyTree, ...]:
    rows = batch_sharding(mesh)
    return tuple(_placed(tree, jax.tree.map(lambda _: rows, tree)) for tree in trees)


def _key(mesh: Mesh) -> PyTree:
    key = jax.eval_shape(lambda: jax.random.key(0))
    return _placed(key, NamedSharding(mesh, PartitionSpec()))


def _placed(tree: PyTree, shardings: PyTree) -> PyTree:
    """Shapes with shardings."""
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        tree,
        shardings,
    )
