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
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.scene import Scene
from omnivla_jax.sim.state import EnvState
from omnivla_jax.train import environment, online, sharding
from omnivla_jax.train.online.rollout import collect
from omnivla_jax.world import observe, visual_scene

TASKS = (1, 7, 8)  # the quickstart's three of libero_goal


class ProgramOptions(NamedTuple):
    """What a program is compiled for; each reads what it needs."""

    preset: str  # of the policy
    num_envs: int
    batch_size: int  # observations of an SFT step
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
    on_mesh = sharding.on_mesh(mesh, experiment.policy)
    split = environment.shard_map_environment(simulator, on_mesh.shard_map_batch)

    def run_episodes(state: PyTree, key: jax.Array) -> PyTree:
        agent = online.make_agent(
            split,
            experiment.policy,
            experiment.sampler,
            state.normalizer,
            experiment.rl,
        )
        return collect(
            agent,
            state.params,
            key,
            split,
            experiment.tasks,
            config=experiment.rl,
            mesh_sharding=on_mesh,
        )

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
    "sft": sft_step,
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
    state = jax.eval_shape(lambda: online_timing.untrained(experiment))
    shardings = sharding.shardings(state, mesh, experiment.policy)
    return experiment, simulator, _placed(state, shardings)


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
