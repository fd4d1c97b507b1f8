"""Loads LIBERO-Plus-like task files and checks what each of them tells the policy.

Run: `python -m experiments.benchmarks.task_files [--bddl_folder=DIR] [--per_kind=2]`.
Re-makes files of every kind of suffix from LIBERO's own forty in a temporary folder,
loads them all, and compares the instruction, the variant's numbers and the layout with
what was written. One file of each kind and arena becomes a scene. With `--bddl_folder`
the files of DIR are loaded instead, and told has to be what their `:language` says,
read by a regular expression. Prints one JSON object with counts by kind.
"""

import json
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np
from absl import app, flags

from omnivla_jax.sim import scene
from omnivla_jax.sim.libero import bddl, files, tasks

_FOLDER = flags.DEFINE_string("bddl_folder", "", "Load these; empty: re-make files.")
_PER_KIND = flags.DEFINE_integer("per_kind", 2, "Files of a kind per task.", 1)

DISTRACTORS = (
    "bag_of_yeast", "bottle_of_alfredo_sauce", "bottle_of_antihistamines",
    "bottle_of_aspirin", "bottle_of_baby_oil", "bottle_of_barbecue_sauce__2",
    "box_of_shampoo__1", "box_of_vegetable_juice__1", "box_of_yogurt__1",
    "boxed_ink_cartridge__3", "can_of_sardines", "can_of_soda__1", "canned_food__1",
)  # fmt: skip
# How LIBERO-Plus continues a problem class, by arena.
_CLASSES = {
    "tabletop": ("tabletop_light_sync_modified_{}", "tabletop_table_Bricks02_COL_{}K",
                 "tabletop_table_Cobblestone01_AO_{}K_Wall_gray_plaster"),
    "floor": ("floor_light_sync_modified_{}", "Floor_Tiles01_NRM_{}K",
              "Combined_Floorbrick{}_disp_Wallcanvas"),
    "kitchen": ("kitchen_light_sync_modified_{}", "kitchen_table_Marble01_COL_{}K",
                "kitchen_table_Marble01_COL_{}K_bg_Denim_GLOSS"),
    "living_room": ("liv_light_sync_modified_{}", "liv_table_WoodFine001_COL_{}K",
                    "liv_table_WoodFine001_COL_{}K_bg_Linen_AO"),
    "study": ("study_light_sync_modified_{}", "study_table_Leather_COL_{}K",
              "study_table_Leather_COL_{}K_bg_Cotton_DISP"),
}  # fmt: skip
_WORKSPACES = {"tabletop": "main_table", "floor": "floor", "kitchen": "kitchen_table",
               "living_room": "living_room_table", "study": "study_table"}  # fmt: skip
_ARENA_OF_CLASS = {"living_room_tabletop": "living_room", "kitchen_tabletop": "kitchen",
                   "study_tabletop": "study", "tabletop": "tabletop",
                   "floor": "floor"}  # fmt: skip
_LANGUAGE = re.compile(r"\(:language\s+([^()]*)\)", re.IGNORECASE)
_CLASS = re.compile(r"\(problem\s+(\S+?)\)", re.IGNORECASE)
_RANGE = re.compile(r"(:ranges \(\s*\()([^()]+)(\))")
KINDS = (
    "view", "initstate", "noise", "language", "light", "table", "tb", "add", "level",
    "moved",
)  # fmt: skip


class Remade(NamedTuple):
    """One task, and what is right for it."""

    kind: str
    path: Path  # as a user gives it; view, initstate and noise have no such file
    told: str
    published: str  # what LIBERO-Plus tells
    numbers: dict[str, Any]  # of Task.variant
    shift: float  # m, of every range along x
    added: int  # distractors


def remade(base: Path, kind: str, index: int, folder: Path) -> Remade:
    """Write the variant number `index` of a kind of the task in `base`.

    Args:
      base: one of LIBERO's own files.
      kind: one of KINDS.
      index: from 1; the suffix's numbers follow it.
      folder: where to write.
    """
    text, number, told = base.read_text("utf-8"), index, _said(base)
    suffix, shift, added = f"_{kind}_{number}", 0.0, 0
    numbers: dict[str, Any] = {kind: number}
    arena = _arena(text)
    workspace = _WORKSPACES[arena]
    if kind == "view":
        view = (15 * index % 360, 345, 100 + index, 2, 352)
        numbers = {"view": view, "initstate": index, "noise": 10 + index}
        spelt = "_".join(map(str, view))
        suffix = f"_view_{spelt}_initstate_{index}_noise_{10 + index}"
    elif kind == "initstate":
        numbers = {"view": (0, 0, 100, 0, 0), "initstate": 100 * index}
        suffix = f"_view_0_0_100_0_0_initstate_{100 * index}"
    elif kind == "noise":
        numbers = {"view": (0, 0, 100, 0, 0), "initstate": 0, "noise": index}
        suffix = f"_view_0_0_100_0_0_initstate_0_noise_{index}"
    elif kind == "language":
        told = f"Could you {told} and thats all, variant {index}".lower()
        text = _LANGUAGE.sub(f"(:language {told})", text)
    elif kind in ("light", "table", "tb"):
        added_class = _CLASSES[arena][("light", "table", "tb").index(kind)]
        name = _class(text).replace("LIBERO", "Libero")
        text = _CLASS.sub(f"(problem {name}_{added_class.format(index)})", text)
    elif kind == "add":
        number = 6 * index - 1
        suffix, numbers, added = f"_add_{number}", {"add": number}, min(index, 5)
        text = _with_distractors(text, workspace, added, index)
    else:
        numbers, shift = {"level": index, "sample": 2}, 0.01 * index
        suffix = f"_moved_level{index}_sample2" if kind == "moved" else ""
        suffix = suffix or f"_level{index}_sample2"
        text = _RANGE.sub(lambda found: _shifted(found, shift), text)
    path = folder / f"{base.stem}{suffix}.bddl"
    if kind in ("view", "initstate", "noise"):
        (folder / base.name).write_text(text, "utf-8")
    else:
        path.write_text(text, "utf-8")
    words = re.sub(r"^[A-Z_]+SCENE\d+_", "", path.stem).replace("_", " ")
    published = told if kind == "language" else words
    return Remade(kind, path, told, published, numbers, shift, added)


def complaints(row: Remade, base: tasks.Task, task: tasks.Task) -> list[str]:
    """What of a loaded task is not as it was written."""
    right = {**dict.fromkeys(task.variant._fields), **row.numbers}
    checks = {
        "instruction": (task.instruction, row.told),
        "variant": (task.variant._asdict(), right),
        "base name": (task.base_name, base.name),
        "goal": (_goals(task), _goals(base)),
        "objects": (len(task.objects), len(base.objects) + row.added),
        "appearance": (bool(task.appearance), row.kind in ("light", "table", "tb")),
    }
    found = [f"{what}: {a!r}, not {b!r}" for what, (a, b) in checks.items() if a != b]
    old, new = _left_ends(base), _left_ends(task)
    off = [name for name in old if not np.isclose(new[name] - old[name], row.shift)]
    return found + [f"layout: {off} are not moved by {row.shift} m"] * bool(off)


def measured(
    bases: Sequence[Path], kinds: Iterable[str], per_kind: int, folder: Path
) -> dict[str, dict[str, Any]]:
    """Counts by kind of what is re-made from `bases` below `folder`."""
    counts = {}
    for kind in kinds:
        inside = folder / kind
        inside.mkdir(parents=True)
        rows = [
            remade(base, kind, index, inside)
            for base in bases
            for index in range(1, per_kind + 1)
        ]
        counts[kind] = _counted(rows, {path.stem: path for path in bases})
    return counts


def from_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Counts by kind of the files in `folder`."""
    loaded = {task.name: task for task in tasks.suite(folder, skip_unknown=True).tasks}
    counts: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.bddl")):
        task = loaded.get(path.stem)
        kind = "+".join(task.variant.kinds) or "base" if task else "not loaded"
        row = counts.setdefault(kind, {"files": 0, "loaded": 0, "right": 0})
        row["files"] += 1
        row["loaded"] += task is not None
        row["right"] += task is not None and task.instruction == _said(path)
    return counts


def main(_: list[str]) -> None:
    """Load, check, count and print."""
    warnings.simplefilter("ignore", UserWarning)  # each topic is counted below
    if _FOLDER.value:
        counts = from_folder(Path(_FOLDER.value).expanduser())
    else:
        suites = map(files.suite_files, files.suite_names())
        bases = [path for files in suites for path in files.paths]
        with tempfile.TemporaryDirectory() as folder:
            counts = measured(bases, KINDS, _PER_KIND.value, Path(folder))
    total = {
        key: sum(row[key] for row in counts.values())
        for key in ("files", "loaded", "right")
    }
    print(json.dumps({"benchmark": "task_files", **total, "kinds": counts}))


def _counted(rows: list[Remade], bases: dict[str, Path]) -> dict[str, Any]:
    """Counts of one kind; the first file of each arena also becomes a scene."""
    own: dict[str, tasks.Task] = {}
    first: dict[str, Path] = {}
    found: list[str] = []
    told, published = (_loaded(rows, prompt) for prompt in ("clean", "as_published"))
    for row in rows:
        task, other = told.get(row.path.stem), published.get(row.path.stem)
        if task is None or other is None:
            continue
        if task.base_name not in own:
            own[task.base_name] = tasks.read_task(bases[task.base_name])
        wrong = complaints(row, own[task.base_name], task)
        if other.instruction != row.published:
            wrong.append(f"published: {other.instruction!r}, not {row.published!r}")
        found += [f"{row.path.name}: {', '.join(wrong)}"] if wrong else []
        first.setdefault(task.arena, row.path)
    built = [scene.make(path, engine="mujoco") for path in first.values()]
    return {
        "files": len(rows),
        "loaded": len(told),
        "right": len(told) - len(found),
        "scenes": sum(one.num_tasks == 1 and one.model.nbody > 1 for one in built),
        "wrong": found[:5],
    }


def _loaded(rows: list[Remade], prompt: str) -> dict[str, tasks.Task]:
    """The tasks of `rows` by name, of a folder where files exist, else one by one."""
    folder = rows[0].path.parent
    stored = tasks.suite(folder, prompt=prompt, skip_unknown=True).tasks
    found = {task.name: task for task in stored}
    for row in rows:
        try:
            if not row.path.exists():
                found[row.path.stem] = tasks.read_task(row.path, prompt=prompt)
        except bddl.BddlError as error:
            print(error, file=sys.stderr)
    return {row.path.stem: found[row.path.stem] for row in rows
            if row.path.stem in found}  # fmt: skip


def _said(path: Path) -> str:
    """What a file's `:language` says, read without the simulator's parser."""
    found = _LANGUAGE.search(path.read_text("utf-8"))
    return " ".join(found[1].lower().split()) if found else ""


def _class(text: str) -> str:
    found = _CLASS.search(text)
    assert found is not None, "a task of LIBERO's has a problem class"
    return found[1]


def _arena(text: str) -> str:
    name = _class(text).lower().removeprefix("libero_").removesuffix("_manipulation")
    return _ARENA_OF_CLASS[name]


def _with_distractors(text: str, workspace: str, count: int, first: int) -> str:
    """`text` with `count` distractors at points, as LIBERO-Plus adds them."""
    regions, objects, init = "", "", ""
    for k in range(count):
        category = DISTRACTORS[(first + k) % len(DISTRACTORS)]
        x, y, e = 0.2 - 0.1 * (k // 2), 0.33 - 0.66 * (k % 2), 5e-7
        regions += f"""
      (add_object_region_{k}
          (:target {workspace})
          (:ranges (({x - e} {y - e} {x + e} {y + e})))
          (:yaw_rotation ((0.0 0.0))))"""
        objects += f"\n    {category}_{k + 1} - {category}"
        init += f"\n    (On {category}_{k + 1} {workspace}_add_object_region_{k})"
    sections = {":regions": regions, ":objects": objects, ":init": init}
    for section, more in sections.items():
        text = text.replace(f"({section}", f"({section}{more}", 1)
    return text


def _shifted(found: re.Match[str], shift: float) -> str:
    x0, y0, x1, y1 = map(float, found[2].split())
    return f"{found[1]}{x0 + shift} {y0} {x1 + shift} {y1}{found[3]}"


def _goals(task: tasks.Task) -> list[tuple[str, str, str]]:
    return [goal[:3] for goal in task.goal]


def _left_ends(task: tasks.Task) -> dict[str, float]:
    starts = (*task.objects, *task.fixtures)
    return {start.name: start.ranges[0][0] for start in starts if start.ranges}


if __name__ == "__main__":
    app.run(main)
