"""The two training phases: flow matching, then Flow-GSPO, each resumed mid-way."""

import functools
from typing import Callable, Sequence

import jax

from experiments.job import Job
from experiments.reporting import progress
from omnivla_jax.core.types import Episode
from omnivla_jax.policy import normalize, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.train import action, checkpoints, loop, metrics, online, streams
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
        compiled = step.lower(state, dataset).compile()
        return state, lambda state: compiled(state, dataset)

    return _train(
        job,
        "flow_matching",
        title="Flow matching",
        unit="call" if settings.action.steps_per_call > 1 else "step",
        calls=settings.action.steps // settings.action.steps_per_call,
        like=jax.eval_shape(
            lambda: create(policy.init(key, settings.policy), _units(settings.policy))
        ),
        start=start,
        shown=("loss",),
    )


def flow_gspo(job: Job, trained: TrainState) -> TrainState:
    """Stage III from what stage II made."""
    settings = job.settings
    key = streams.stream(settings.seed, "online")

    def start() -> tuple[TrainState, loop.Step]:
        state = online.create(trained, settings.rl)
        step = online.make_step(
            job.environment,
            settings.tasks,
            policy_config=settings.policy,
            sampler=settings.sampler,
            config=settings.rl,
        )
        compiled = step.lower(state, key).compile()
        return state, lambda state: compiled(state, key)

    return _train(
        job,
        "flow_gspo",
        title="Flow-GSPO",
        unit="update",
        calls=settings.rl.updates,
        like=jax.eval_shape(lambda: online.create(trained, settings.rl)),
        start=start,
        shown=("success", "reward", "clip_fraction"),
    )


def _train(
    job: Job,
    phase: str,
    *,
    title: str,
    unit: str,
    calls: int,
    like: TrainState,
    start: Callable[[], tuple[TrainState, loop.Step]],
    shown: Sequence[str],
) -> TrainState:
    """A training stage from its last checkpoint, or from `start`, to its end."""
    directory = job.workdir.checkpoints(phase)
    newest = checkpoints.latest(directory)
    restored = checkpoints.restore(newest, like) if newest else None
    history = restored.history if restored else []
    if restored and len(history) >= calls:
        progress.note(title, "trained already")
        return restored.tree
    table = job.workdir.path / f"{phase}.csv"
    metrics.write(table, history)
    left = calls - len(history)
    with job.workdir.clock(phase), progress.phase(title, total=left, unit=unit) as bar:
        with bar.compiling():
            state, step = start()

        def report(row: metrics.Row) -> None:
            metrics.append(table, row)
            bar.advance(1, **{name: row[name] for name in shown})

        state, _ = loop.run(
            step,
            restored.tree if restored else state,
            steps=calls,
            history=history,
            save=functools.partial(checkpoints.save, directory),
            save_every=job.settings.save_every,
            report=report,
        )
    return state


def _units(config: PolicyConfig) -> normalize.Normalizer:
    """A normalizer of the right shapes."""
    return normalize.Normalizer(
        normalize.identity(config.state_dim), normalize.identity(config.action_dim)
    )
