"""The values that every phase of a run shares: config, folder, scene, simulator."""

import functools
from dataclasses import dataclass
from typing import Callable, Iterable, NamedTuple

from jax.sharding import Mesh

from experiments.configs.schema import ExperimentConfig
from experiments.pipeline.workdir import Workdir
from experiments.reporting import progress
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.scene import Scene
from omnivla_jax.train import environment, evaluate, perturbed_environment
from omnivla_jax.train.environment import Environment
from omnivla_jax.world import expert
from omnivla_jax.world.perturbations.layout import DISTRACTORS


class Simulation(NamedTuple):
    """What runs episodes."""

    scene: Scene
    environment: Environment  # of training, perturbed where the config says so
    evaluate_fn: Callable[[], evaluate.Evaluate]  # compiles on its first call


@dataclass(frozen=True)
class RunContext:
    """One run, as its phases see it."""

    config: ExperimentConfig
    workdir: Workdir
    mesh: Mesh | None  # devices that training is sharded over; None: one device
    simulation: Simulation | None  # None: a dataset alone, see `config.simulated`

    @property
    def scene(self) -> Scene:
        """The scene of a run with a simulator."""
        assert self.simulation is not None
        return self.simulation.scene

    @property
    def environment(self) -> Environment:
        """The simulator of a run that has one."""
        assert self.simulation is not None
        return self.simulation.environment

    @property
    def evaluate_fn(self) -> Callable[[], evaluate.Evaluate]:
        """Returns the evaluation of a run with a simulator."""
        assert self.simulation is not None
        return self.simulation.evaluate_fn


def make_context(
    config: ExperimentConfig, workdir: Workdir, mesh: Mesh | None
) -> RunContext:
    """Make the scene and the simulator of a run, if it has one.

    Raises:
      ValueError: an unknown suite or task, or tasks that neither the expert nor a
        dataset demonstrates.
    """
    if not config.simulated:
        return RunContext(config, workdir, mesh, simulation=None)
    with workdir.timer("scene"):
        if "sft" in config.stages:
            require_demonstrations(config)
        scene = make_scene(config, extras=DISTRACTORS if config.perturb else ())
        simulator = environment.simulator(scene, config.policy, size=config.image_size)
        training = simulator
        if config.rl.perturb is not None:
            perturbed = perturbed_environment.simulator(
                scene, config.policy, size=config.image_size
            )
            training = perturbed_environment.drawing(
                perturbed, scene, config.rl.perturb
            )
    names = ", ".join(f'"{scene.tasks[row].instruction}"' for row in config.tasks)
    progress.note("Scene", f"{config.suite} on {scene.engine}: {names}")
    evaluate_fn = functools.cache(
        lambda: evaluate.compiled(simulator, config.policy, config.evaluation)
    )
    simulation = Simulation(scene, training, evaluate_fn)
    return RunContext(config, workdir, mesh, simulation)


def make_scene(config: ExperimentConfig, *, extras: Iterable[str] = ()) -> Scene:
    """The scene of a config's suite and `extras`, simulated by the config's engine."""
    return scenes.make(
        config.suite, engine=config.engine, extras=extras, **config.task_files
    )


def task_names(scene: Scene) -> list[str]:
    """A name for each row of the suite: its instruction, unique by its file's name."""
    instructions = [task.instruction for task in scene.tasks]
    return [
        text if instructions.count(text) == 1 else f"{text} ({task.name})"
        for text, task in zip(instructions, scene.tasks)
    ]


def require_demonstrations(config: ExperimentConfig) -> None:
    """Raise a ValueError if neither the expert nor a dataset demonstrates the tasks."""
    if config.data.source != "expert":
        return
    try:
        expert.require_skills(config.task_table, config.tasks)
    except ValueError as error:
        raise ValueError(
            f"{error} A dataset is given by --config.data.source=auto "
            "--config.data.path=FOLDER."
        ) from error
