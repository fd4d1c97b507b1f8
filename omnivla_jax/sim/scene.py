"""Builds a scene: MuJoCo models for some tasks of a suite, and tables that name rows.

One scene serves all its tasks; layouts, fixture poses and the task itself are data.
"""

from pathlib import Path
from typing import Iterable, Sequence

import mujoco

from omnivla_jax.sim.assets import category_variants, panda
from omnivla_jax.sim.assets.arenas import ARENAS, BASE_BODY, CAMERA_BODY, table_body
from omnivla_jax.sim.assets.integrator_presets import PRESETS, IntegratorPreset
from omnivla_jax.sim.assets.objects import CATEGORIES
from omnivla_jax.sim.engines import registry
from omnivla_jax.sim.engines.base import Engine
from omnivla_jax.sim.libero.tasks import (
    Categories,
    SceneAssets,
    Suite,
    scene_assets,
    split_region,
    suite,
)
from omnivla_jax.sim.mjcf import compile_model
from omnivla_jax.sim.resets import region_check
from omnivla_jax.sim.state import Scene, Site


def make(
    name: str | Path,
    *,
    tasks: Sequence[int] | None = None,
    engine: str = "auto",
    preset: str = "fast",
    prompt: str = "clean",
    horizon: int | None = None,
    skip_unknown: bool = False,
    categories: Categories = None,
    extras: Iterable[str] = (),
) -> Scene:
    """Build a scene for tasks of suite `name`.

    What a task does not use is parked out of its reach, so that one program can mix
    all tasks. A scene of fewer tasks has fewer bodies and steps faster: libero_10
    plays in three arenas with 21 objects, each of its tasks with two to eight.

    Args:
      name: a suite such as `libero_goal`, a BDDL file or a folder of BDDL files.
      tasks: rows of the suite; None takes them all. Task numbers stay the suite's.
      engine: a key of `engines.registry.ENGINES`, or `auto`: `mujoco` on a CPU, `mjx`
        elsewhere.
      preset: `original`, `faithful` or `fast`.
      prompt: the instruction of files: `clean`, `as_published` or `file_name`.
      horizon: time limit in control steps; None: the suite's, 600 for a user's files.
      skip_unknown: leave out the files of a folder that cannot be loaded.
      categories: a JSON file, or a mapping, of categories that are others recoloured,
        rescaled or fixed; see `tasks.suite` for these four.
      extras: categories of objects that no task has and a layout may have in addition.

    Returns:
      The scene, to which programs are specialised: make it once.

    Raises:
      ValueError: naming the unknown suite, task, engine or preset and the known ones,
        or the file, region and objects where these never fit without overlap.
      BddlError: naming the task file, the line and what is known there.
    """
    if preset not in PRESETS:
        raise ValueError(f"Unknown preset {preset!r}: choose one of {sorted(PRESETS)}.")
    table = suite(
        name,
        prompt=prompt,
        horizon=horizon,
        skip_unknown=skip_unknown,
        categories=categories,
    )
    task_ids = select_task_ids(table, tasks)
    added = {f"extra_{row}": _category(name) for row, name in enumerate(extras)}
    scene = _assemble(table, task_ids, registry.select(engine), PRESETS[preset], added)
    region_check.check(scene)
    return scene


def _category(name: str) -> str:
    """The registered category of an extra; ValueError where there is none."""
    category = category_variants.resolve(name, category_variants.table())
    if category is None:
        raise ValueError(f"Unknown extra {name!r}: it takes a category of objects.")
    return category


def _assemble(
    table: Suite,
    task_ids: tuple[int, ...],
    engine: Engine,
    preset: IntegratorPreset,
    extras: dict[str, str],
) -> Scene:
    """Compile the models of tasks and `extras`, and name their rows."""
    assets = scene_assets(tuple(table.tasks[row] for row in task_ids))
    assets = assets._replace(objects=assets.objects | extras)
    pairs = _contact_pairs(table, task_ids, assets)
    model = engine.compile(assets, preset, pairs)
    tables = tuple(table_body(name) for name in assets.arenas if ARENAS[name].table)
    data = mujoco.MjData(model)
    data.qpos[: panda.NUM_JOINTS] = panda.HOME
    mujoco.mj_kinematics(model, data)
    hand, base = data.body(panda.EEF_BODY), data.body(BASE_BODY)
    return Scene(
        name=table.name,
        suite=table,
        task_ids=task_ids,
        assets=assets,
        preset=preset,
        engine=engine.name,
        model=model,
        visual_model=compile_model(assets, preset, visual=True),
        bodies={model.body(i).name: i for i in range(model.nbody)},
        joints={
            model.joint(i).name: (int(model.jnt_qposadr[i]), int(model.jnt_dofadr[i]))
            for i in range(model.njnt)
        },
        sites=_sites(assets, model),
        posed_bodies=(*assets.fixtures, BASE_BODY, CAMERA_BODY, *tables),
        home_offset=hand.xpos - base.xpos,
        home_mat=hand.xmat.reshape(3, 3).copy(),
        contact_pairs=pairs,
        extras=tuple(extras),
    )


def select_task_ids(table: Suite, tasks: Sequence[int] | None) -> tuple[int, ...]:
    """`tasks`, or all rows; raises ValueError where one is no row of `table`."""
    count = len(table.tasks)
    rows = tuple(range(count)) if tasks is None else tuple(int(row) for row in tasks)
    wrong = [row for row in rows if not 0 <= row < count]
    if wrong or not rows:
        raise ValueError(
            f"Unknown tasks {wrong} of {table.name}: choose among 0 to {count - 1}."
        )
    return rows


def _contact_pairs(
    table: Suite, task_ids: tuple[int, ...], assets: SceneAssets
) -> tuple[tuple[str, str], ...]:
    """Body pairs whose contact some goal asks about: subject, target or its parent."""
    instances = {**assets.objects, **assets.fixtures}
    pairs: dict[tuple[str, str], None] = {}
    for row in task_ids:
        for goal in table.tasks[row].goal:
            parent = split_region(goal.target, instances)[0]
            if goal.predicate == "on" and parent:
                pairs[(goal.subject, parent)] = None
    return tuple(pairs)


def _sites(assets: SceneAssets, model: mujoco.MjModel) -> dict[str, Site]:
    sites = {}
    for name, category in {**assets.objects, **assets.fixtures}.items():
        for part in CATEGORIES[category].parts:
            body = f"{name}_{part.name}" if part.name else name
            joint = body if part.joint else ""
            for region_name, region in part.regions.items():
                site = Site(name, model.body(body).id, joint, region)
                sites[f"{name}_{region_name}"] = site
    return sites
