"""The two training phases: flow matching, then Flow-GSPO, each resumed mid-way."""

import functools
from typing import Any, Callable

import jax

from experiments.configs.schema import Settings
from experiments.pipeline import imported_weights, training_stage
from experiments.pipeline.run_context import RunContext
from experiments.pipeline.workdir import Workdir
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import sharding
from omnivla_jax.core.types import Demonstration, PyTree
from omnivla_jax.policy import normalize, policy
from omnivla_jax.train import checkpoints, loop, online, rng, sft
from omnivla_jax.train import sharding as placement
from omnivla_jax.train.state import TrainState


def flow_matching(
    job: RunContext, episodes: Callable[[], list[Demonstration]]
) -> TrainState:
    """Stage II on the demonstrations, from imported or random parameters."""
    settings = job.settings
    config, key = settings.policy, rng.named_key(settings.seed, "init")
    _check_batch(job)
    create = functools.partial(sft.create, config=settings.sft, seed=settings.seed)

    def start() -> tuple[TrainState, loop.Step]:
        data = episodes()
        normalizer = _spread(job, sft.fit_normalizer(data))
        dataset = _spread(job, sft.make_dataset(data, normalizer, config=config))
        state = _made(job, create, _initial(job, key), normalizer)
        step = sft.make_step(config, settings.sft, placement=_placement(job))
        compiled = _compiled(step, state, dataset)
        return state, lambda state: compiled(state, dataset)

    training = training_stage.Stage(
        name="flow_matching",
        title="Flow matching",
        unit="call" if settings.sft.steps_per_call > 1 else "step",
        calls=settings.sft.steps // settings.sft.steps_per_call,
        like=_like(
            job,
            lambda: create(
                policy.init(key, config),
                normalize.identity_normalizer(
                    config.robot_state_dim, config.robot_action_dim
                ),
            ),
        ),
        start=start,
        shown=("loss",),
    )
    return training_stage.run(job, training)


def flow_gspo(job: RunContext, trained: TrainState) -> TrainState:
    """Stage III from what stage II made."""
    settings = job.settings
    create = functools.partial(
        online.create, config=settings.rl, policy_config=settings.policy
    )

    def start() -> tuple[TrainState, loop.Step]:
        state = _made(job, create, trained)
        key = _spread(job, rng.named_key(settings.seed, "online"))
        step = online.make_step(
            job.environment,
            settings.tasks,
            policy_config=settings.policy,
            sampler=settings.sampler,
            config=settings.rl,
            placement=_placement(job),
        )
        compiled = _compiled(step, state, key)
        return state, lambda state: compiled(state, key)

    training = training_stage.Stage(
        name="flow_gspo",
        title="Flow-GSPO",
        unit="update",
        calls=settings.rl.updates,
        like=_like(job, create, trained),
        start=start,
        shown=("success", "reward", "clip_fraction"),
        evaluate_every=settings.evaluate_every,
    )
    return training_stage.run(job, training)


def restore(settings: Settings, workdir: Workdir, name: str) -> checkpoints.Restored:
    """The newest checkpoint of a training stage on one device, and its history.

    Args:
      settings: those of the run.
      workdir: of the run.
      name: "flow_matching", "flow_gspo", or "flow_gspo_best", the one kept as the best.

    Raises ValueError where the run has no such checkpoint or it cannot be read.
    """
    config, folder = settings.policy, workdir.checkpoints(name)
    newest = checkpoints.latest(folder)
    if newest is None:
        raise ValueError(
            f"{folder} holds no checkpoint: train that stage first, or choose another "
            "stage of that run."
        )

    def start() -> TrainState:
        params = policy.init(rng.named_key(settings.seed, "init"), config)
        identity_normalizer = normalize.identity_normalizer(
            config.robot_state_dim, config.robot_action_dim
        )
        state = sft.create(
            params, identity_normalizer, config=settings.sft, seed=settings.seed
        )
        if name == "flow_matching":
            return state
        return online.create(state, config=settings.rl, policy_config=config)

    return checkpoints.restore(newest, jax.eval_shape(start))


def _compiled(step: jax.stages.Wrapped, *arguments: PyTree) -> jax.stages.Compiled:
    """The program for such arguments, the same one before and after an interruption.

    Restored arrays are bound to their device and fresh ones are not, which the cache of
    compiled programs takes for two programs: on one device, neither is.
    """
    leaves = jax.tree.leaves(arguments)
    if all(len(leaf.sharding.device_set) == 1 for leaf in leaves):
        arguments = jax.eval_shape(lambda: arguments)
    return step.lower(*arguments).compile()


def _check_batch(job: RunContext) -> None:
    """Tell in stage II's own words which batch the mesh cannot split."""
    if job.mesh is None:
        return
    size = job.settings.sft.batch_size
    parts = job.mesh.shape["data"] * job.mesh.shape["fsdp"]
    if size % parts:
        raise ValueError(
            f"sft.batch_size={size} does not divide over {parts} devices: make it a "
            "multiple, or choose other --data and --fsdp."
        )


def _initial(job: RunContext, key: jax.Array) -> PyTree:
    """What stage II starts from; no device holds more than its part."""
    folder, config = job.settings.weights, job.settings.policy
    if folder is not None:
        return imported_weights.restore(folder, key, config, mesh=job.mesh)
    if job.mesh is None:
        return sft.fresh_params(key, config)
    return policy.init_sharded(key, config, mesh=job.mesh)


def _made(
    job: RunContext, make: Callable[..., TrainState], *arguments: Any
) -> TrainState:
    """`make(*arguments)`, every array made where the job's mesh, if any, wants it."""
    if job.mesh is None:
        return make(*arguments)
    places = _places(job, jax.eval_shape(make, *arguments))
    return compilation.jit(make, out_shardings=places)(*arguments)


def _like(
    job: RunContext, make: Callable[..., TrainState], *arguments: Any
) -> TrainState:
    """Shapes of `make(*arguments)`, and where on the job's mesh, if any, they lie."""
    shapes = jax.eval_shape(make, *arguments)
    if job.mesh is None:
        return shapes
    return sharding.placed(shapes, _places(job, shapes))


def _places(job: RunContext, tree: PyTree) -> PyTree:
    assert job.mesh is not None
    return placement.shardings(tree, job.mesh, job.settings.policy)


def _placement(job: RunContext) -> placement.MeshSharding:
    if job.mesh is None:
        return placement.single_device()
    return placement.on_mesh(job.mesh, job.settings.policy)


def _spread(job: RunContext, tree: PyTree) -> PyTree:
    """Lay `tree` out on the job's mesh, if it has one; what lies there stays."""
    if job.mesh is None:
        return tree
    return placement.put(tree, job.mesh, job.settings.policy)
