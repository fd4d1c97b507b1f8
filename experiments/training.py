"""The two training phases: flow matching, then Flow-GSPO, each resumed mid-way."""

import functools
from typing import Callable

import jax

from experiments import stage
from experiments.job import Job
from omnivla_jax.core.types import Episode, PyTree
from omnivla_jax.policy import normalize, policy
from omnivla_jax.train import action, loop, online, placement, streams
from omnivla_jax.train.state import TrainState


def flow_matching(job: Job, episodes: Callable[[], list[Episode]]) -> TrainState:
    """Stage II on the demonstrations."""
    settings = job.settings
    key = streams.stream(settings.seed, "init")
    create = functools.partial(
        action.create, config=settings.action, seed=settings.seed
    )

    def start() -> tuple[TrainState, loop.Step]:
        data = episodes()
        normalizer = action.fit_normalizer(data)
        dataset = action.make_dataset(data, normalizer, config=settings.policy)
        state = create(action.fresh_params(key, settings.policy), normalizer)
        step = action.make_step(settings.policy, settings.action)
        compiled = _compiled(step, state, dataset)
        return state, lambda state: compiled(state, dataset)

    training = stage.Stage(
        name="flow_matching",
        title="Flow matching",
        unit="call" if settings.action.steps_per_call > 1 else "step",
        calls=settings.action.steps // settings.action.steps_per_call,
        like=jax.eval_shape(
            lambda: create(
                policy.init(key, settings.policy),
                normalize.unscaled(
                    settings.policy.state_dim, settings.policy.action_dim
                ),
            )
        ),
        start=start,
        shown=("loss",),
    )
    return stage.run(job, training)


def flow_gspo(job: Job, trained: TrainState) -> TrainState:
    """Stage III from what stage II made."""
    settings = job.settings

    def create() -> TrainState:
        return online.create(trained, settings.rl, settings.policy)

    def start() -> tuple[TrainState, loop.Step]:
        state = _spread(job, create())
        key = _spread(job, streams.stream(settings.seed, "online"))
        step = online.make_step(
            job.environment,
            settings.tasks,
            policy_config=settings.policy,
            sampler=settings.sampler,
            config=settings.rl,
            placement=_placement(job),
        )
        compiled = _compiled(step, state, key)
        # What was restored lies on one device until its first step.
        return state, lambda state: compiled(_spread(job, state), key)

    training = stage.Stage(
        name="flow_gspo",
        title="Flow-GSPO",
        unit="update",
        calls=settings.rl.updates,
        like=jax.eval_shape(create),
        start=start,
        shown=("success", "reward", "clip_fraction"),
        evaluate_every=settings.evaluate_every,
    )
    return stage.run(job, training)


def _compiled(step: jax.stages.Wrapped, *arguments: PyTree) -> jax.stages.Compiled:
    """The program for such arguments, the same one before and after an interruption.

    Restored arrays are bound to their device and fresh ones are not, which the cache of
    compiled programs takes for two programs: on one device, neither is.
    """
    leaves = jax.tree.leaves(arguments)
    if all(len(leaf.sharding.device_set) == 1 for leaf in leaves):
        arguments = jax.eval_shape(lambda: arguments)
    return step.lower(*arguments).compile()


def _placement(job: Job) -> placement.Placement:
    if job.mesh is None:
        return placement.anywhere()
    return placement.on_mesh(job.mesh, job.settings.policy)


def _spread(job: Job, tree: PyTree) -> PyTree:
    """Lay `tree` out on the job's mesh, if it has one; what lies there stays."""
    if job.mesh is None:
        return tree
    return placement.put(tree, job.mesh, job.settings.policy)
