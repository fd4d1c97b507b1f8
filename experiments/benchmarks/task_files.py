"""Loads task files like LIBERO-Plus' and checks the instruction of each.

Run: `python -m experiments.benchmarks.task_files [--bddl_folder=DIR] [--per_kind=2]`.
Writes variants with every kind of suffix of LIBERO's own forty files to a temporary
folder, loads them, and compares instruction, the variant's numbers and layout with what
was written. One file of each kind and arena becomes a scene. With `--bddl_folder` the
files of DIR are loaded instead, and the instruction has to be their `:language`, read
by a regular expression. Prints one JSON object with counts by kind.
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

_FOLDER = flags.DEFINE_string("bddl_folder", "", "Load these; empty: write variants.")
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


class Variant(NamedTuple):
    """A variant of a task file, and the expected values."""

    kind: str
    path: Path  # as a user gives it; view, initstate and noise have no such file
    instruction: str
    published_instruction: str  # of LIBERO-Plus
    numbers: dict[str, Any]  # of Task.variant
    shift: float  # m, of every range along x
    added: int  # distractors


def write_variant(base: Path, kind: str, index: int, folder: Path) -> Variant:
    """Write variant `index` of one kind of the task in `base`.

    Args:
      base: one of LIBERO's own files.
      kind: one of KINDS.
      index: from 1; the suffix's numbers follow it.
      folder: where to write.
    """
    text, number = base.read_text("utf-8"), index
    instruction = _language(base)
    suffix, shift, added = f"_{kind}_{number}", 0.0, 0
    numbers: dict[str, Any] = {kind: number}
    arena_class = _class(text).lower().removeprefix("libero_")
    arena = _ARENA_OF_CLASS[arena_class.removesuffix("_manipulation")]
    if kind == "view":
        view = (15 * index % 360, 345, 100 + index, 2, 352)
        numbers = {"view": view, "initstate": index, "noise": 10 + index}
        angles = "_".join(map(str, view))
        suffix = f"_view_{angles}_initstate_{index}_noise_{10 + index}"
    elif kind == "initstate":
        numbers = {"view": (0, 0, 100, 0, 0), "initstate": 100 * index}
        suffix = f"_view_0_0_100_0_0_initstate_{100 * index}"
    elif kind == "noise":
        numbers = {"view": (0, 0, 100, 0, 0), "initstate": 0, "noise": index}
        suffix = f"_view_0_0_100_0_0_initstate_0_noise_{index}"
    elif kind == "language":
        instruction = f"Could you {instruction} and thats all, variant {index}".lower()
        text = _LANGUAGE.sub(f"(:language {instruction})", text)
    elif kind in ("light", "table", "tb"):
        added_class = _CLASSES[arena][("light", "table", "tb").index(kind)]
        name = _class(text).replace("LIBERO", "Libero")
        text = _CLASS.sub(f"(problem {name}_{added_class.format(index)})", text)
    elif kind == "add":
        number = 6 * index - 1
        suffix, numbers, added = f"_add_{number}", {"add": number}, min(index, 5)
        text = _with_distractors(text, _WORKSPACES[arena], added, index)
    else:
        numbers, shift = {"level": index, "sample": 2}, 0.01 * index
        suffix = f"_moved_level{index}_sample2" if kind == "moved" else ""
        suffix = suffix or f"_level{index}_sample2"
        text = _RANGE.sub(lambda match: _shifted(match, shift), text)
    path = folder / f"{base.stem}{suffix}.bddl"
    if kind in ("view", "initstate", "noise"):
        (folder / base.name).write_text(text, "utf-8")
    else:
        path.write_text(text, "utf-8")
    words = re.sub(r"^[A-Z_]+SCENE\d+_", "", path.stem).replace("_", " ")
    published = instruction if kind == "language" else words
    return Variant(kind, path, instruction, published, numbers, shift, added)


def errors(variant: Variant, base: tasks.Task, task: tasks.Task) -> list[str]:
    """Differences between a loaded task and the expected values, in words."""
    numbers = {**dict.fromkeys(task.variant._fields), **variant.numbers}
    is_repainted = variant.kind in ("light", "table", "tb")
    goals, base_goals = ([goal[:3] for goal in t.goal] for t in (task, base))
    checks = {
        "instruction": (task.instruction, variant.instruction),
        "variant": (task.variant._asdict(), numbers),
        "base name": (task.base_name, base.name),
        "goal": (goals, base_goals),
        "objects": (len(task.objects), len(base.objects) + variant.added),
        "appearance": (bool(task.appearance), is_repainted),
    }
    messages = [
        f"{name}: {a!r}, not {b!r}" for name, (a, b) in checks.items() if a != b
    ]
    moved, unmoved = (
        {init.name: init.ranges[0][0] for init in inits if init.ranges}
        for inits in (task.objects + task.fixtures, base.objects + base.fixtures)
    )
    wrong = [
        n for n, x in unmoved.items() if not np.isclose(moved[n] - x, variant.shift)
    ]
    if wrong:
        messages.append(f"layout: {wrong} are not moved by {variant.shift} m")
    return messages


def count_variants(
    bases: Sequence[Path], kinds: Iterable[str], per_kind: int, folder: Path
) -> dict[str, dict[str, Any]]:
    """Counts by kind of variants of `bases`, which are written below `folder`."""
    counts = {}
    for kind in kinds:
        inside = folder / kind
        inside.mkdir(parents=True)
        rows = [
            write_variant(base, kind, index, inside)
            for base in bases
            for index in range(1, per_kind + 1)
        ]
        counts[kind] = _count(rows, {path.stem: path for path in bases})
    return counts


def count_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Counts by kind of the files in `folder`."""
    loaded = {task.name: task for task in tasks.suite(folder, skip_unknown=True).tasks}
    counts: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.bddl")):
        task = loaded.get(path.stem)
        kind = "+".join(task.variant.kinds) or "base" if task else "not loaded"
        row = counts.setdefault(kind, {"files": 0, "loaded": 0, "right": 0})
        row["files"] += 1
        row["loaded"] += task is not None
        row["right"] += task is not None and task.instruction == _language(path)
    return counts


def main(_: list[str]) -> None:
    """Load, check, count and print."""
    warnings.simplefilter("ignore", UserWarning)  # each topic is counted below
    if _FOLDER.value:
        counts = count_folder(Path(_FOLDER.value).expanduser())
    else:
        suites = map(files.suite_files, files.BENCHMARK_SUITES)
        bases = [path for files in suites for path in files.paths]
        with tempfile.TemporaryDirectory() as folder:
            counts = count_variants(bases, KINDS, _PER_KIND.value, Path(folder))
    total = {
        key: sum(row[key] for row in counts.values())
        for key in ("files", "loaded", "right")
    }
    print(json.dumps({"benchmark": "task_files", **total, "kinds": counts}))


def _count(rows: list[Variant], bases: dict[str, Path]) -> dict[str, Any]:
    """Counts of one kind; the first file of each arena also becomes a scene."""
    base_tasks: dict[str, tasks.Task] = {}
    first_of_arena: dict[str, Path] = {}
    wrong: list[str] = []
    clean, published = (_load(rows, prompt) for prompt in ("clean", "as_published"))
    for row in rows:
        task, other = clean.get(row.path.stem), published.get(row.path.stem)
        if task is None or other is None:
            continue
        if task.base_name not in base_tasks:
            base_tasks[task.base_name] = tasks.read_task(bases[task.base_name])
        messages = errors(row, base_tasks[task.base_name], task)
        if other.instruction != row.published_instruction:
            expected = row.published_instruction
            messages.append(f"published: {other.instruction!r}, not {expected!r}")
        if messages:
            wrong.append(f"{row.path.name}: {', '.join(messages)}")
        first_of_arena.setdefault(task.arena, row.path)
    scenes = [scene.make(path, engine="mujoco") for path in first_of_arena.values()]
    return {
        "files": len(rows),
        "loaded": len(clean),
        "right": len(clean) - len(wrong),
        "scenes": sum(len(one.tasks) == 1 and one.model.nbody > 1 for one in scenes),
        "wrong": wrong[:5],
    }


def _load(rows: list[Variant], prompt: str) -> dict[str, tasks.Task]:
    """The tasks of `rows` by name, read as a folder where files exist, else singly."""
    folder = rows[0].path.parent
    stored = tasks.suite(folder, prompt=prompt, skip_unknown=True).tasks
    by_name = {task.name: task for task in stored}
    for row in rows:
        try:
            if not row.path.exists():
                by_name[row.path.stem] = tasks.read_task(row.path, prompt=prompt)
        except bddl.BddlError as error:
            print(error, file=sys.stderr)
    names = [row.path.stem for row in rows if row.path.stem in by_name]
    return {name: by_name[name] for name in names}


def _language(path: Path) -> str:
    """The words of a file's `:language`, read without the simulator's parser."""
    match = _LANGUAGE.search(path.read_text("utf-8"))
    return " ".join(match[1].lower().split()) if match else ""


def _class(text: str) -> str:
    """The problem class of a task file."""
    match = _CLASS.search(text)
    assert match is not None, "a task of LIBERO's has a problem class"
    return match[1]


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


def _shifted(match: re.Match[str], shift: float) -> str:
    """A range of a region, `shift` metres further along x."""
    x0, y0, x1, y1 = map(float, match[2].split())
    return f"{match[1]}{x0 + shift} {y0} {x1 + shift} {y1}{match[3]}"


if __name__ == "__main__":
    app.run(main)
