"""What the phases of the main job share: settings, folder, scene and simulator."""

import functools
from dataclasses import dataclass
from typing import Callable

from jax.sharding import Mesh

from experiments.configs.schema import Settings
from experiments.pipeline.workdir import Workdir
from experiments.reporting import progress
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.scene import Scene
from omnivla_jax.train import environment, evaluate
from omnivla_jax.train.environment import Environment
from omnivla_jax.world import expert


@dataclass(frozen=True)
class RunContext:
    """What all phases share."""

    settings: Settings
    workdir: Workdir
    scene: Scene
    environment: Environment
    mesh: Mesh | None  # what training is spread over; None: one device
    evaluator: Callable[[], evaluate.Evaluate]  # compiles on its first call


def build(settings: Settings, workdir: Workdir, mesh: Mesh | None) -> RunContext:
    """The scene and what closes over it; raises ValueError on unknown names."""
    with workdir.clock("scene"):
        _check_demonstrated(settings)
        scene = make_scene(settings)
        size = settings.image_size
        simulator = environment.simulator(scene, settings.policy, size=size)
    chosen = ", ".join(f'"{scene.tasks[row].instruction}"' for row in settings.tasks)
    progress.note("Scene", f"{settings.suite} on {scene.engine}: {chosen}")
    evaluator = functools.cache(
        lambda: evaluate.compiled(simulator, settings.policy, settings.evaluation)
    )
    return RunContext(settings, workdir, scene, simulator, mesh, evaluator)


def make_scene(settings: Settings) -> Scene:
    """The scene that the settings name, its files read as they say."""
    return scenes.make(settings.suite, physics=settings.physics, **settings.task_files)


def task_names(scene: Scene) -> list[str]:
    """What each row of the suite is called: its words, and where needed its file."""
    words = [task.instruction for task in scene.tasks]
    return [
        text if words.count(text) == 1 else f"{text} ({task.name})"
        for text, task in zip(words, scene.tasks)
    ]


def _check_demonstrated(settings: Settings) -> None:
    """Raise a ValueError where neither the expert nor a dataset shows the tasks."""
    if settings.demonstrations.dataset is not None:
        return
    try:
        expert.require_skills(settings.task_table, settings.tasks)
    except ValueError as error:
        raise ValueError(
            f"{error} A dataset is given by --config.demonstrations.dataset=FOLDER."
        ) from error
