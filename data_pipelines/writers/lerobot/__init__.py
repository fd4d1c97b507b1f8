"""Writes LeRobot datasets v2.1 and v3.0 of pictures, as physical-intelligence/libero.

    NAME/meta/info.json
    NAME/meta/{tasks, episodes, episodes_stats}.jsonl             v2.1
    NAME/meta/{stats.json, tasks.parquet}, meta/episodes/...      v3.0
    NAME/data/chunk-000/*.parquet

`LeRobotDataset(NAME, root=DIRECTORY/NAME)` reads it. The features are `image`,
`wrist_image`, `state`, `actions` and, where it is known, `joint_state`. Pictures are
PNG files, turned as openpi's are, and info.json says so. fps is 20, the control rate.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any, Iterable

from data_pipelines.errors import optional_module
from data_pipelines.writers import base, folders
from data_pipelines.writers.lerobot import statistics, tables, v21, v30
from omnivla_jax.core.types import Demonstration

INFO = "meta/info.json"
OUR_FILES = re.compile(
    r"meta/(info|stats)\.json|meta/(tasks|episodes|episodes_stats)\.jsonl"
    r"|(meta/tasks|(meta/episodes|data)/chunk-\d+/(file-|episode_)\d+)\.parquet"
)
_FILES: dict[str, type[v21.Files] | type[v30.Files]] = {
    v21.VERSION: v21.Files,
    v30.VERSION: v30.Files,
}


def _write(
    directory: Path,
    episodes: Iterable[Demonstration],
    *,
    name: str,
    task_names: dict[int, str] | None = None,
    version: str,
) -> Path:
    """See `base.Write`; `version` is one of `_FILES`."""
    del task_names  # tasks are numbered as they come, as in LeRobot
    optional_module("pyarrow.parquet", "LeRobot datasets")
    folder = folders.of_dataset(directory, name)
    side, in_order = base.checked(episodes)
    with folders.replacing(folder, _is_ours) as root:
        (root / "meta").mkdir()
        files, tasks, frames = _FILES[version](root), dict[str, int](), 0
        features = None
        for number, episode in enumerate(in_order):
            features = features or tables.features(episode, side)
            task = tasks.setdefault(episode.instruction, len(tasks))
            rows = tables.Rows(number, frames, task)
            columns = tables.columns(episode, features, rows)
            files.add(
                tables.table(columns, features),
                episode.instruction,
                statistics.of_episode(columns),
            )
            frames += len(episode.action)
        files.finish(tasks)
        info = {
            "codebase_version": version,
            "robot_type": "panda",
            "total_episodes": number + 1,
            "total_frames": frames,
            "total_tasks": len(tasks),
            "fps": tables.FPS,
            "splits": {"train": f"0:{number + 1}"},
            "image_convention": tables.CONVENTION,
            "written_by": folders.PROGRAM,
            "features": features,
            **files.info(),
        }
        (root / INFO).write_text(json.dumps(info, indent=4), "utf-8")
    return folder


def _check_writable(directory: Path, name: str) -> None:
    optional_module("pyarrow.parquet", "LeRobot datasets")
    folders.check_replaceable(folders.of_dataset(directory, name), _is_ours)


def _count(directory: Path, name: str) -> int:
    """Demonstrations of a dataset of ours; its folder appeared whole."""
    return int(_our_info(folders.of_dataset(directory, name)).get("total_episodes", 0))


def _our_info(folder: Path) -> dict[str, Any]:
    """info.json where this program wrote it, else nothing."""
    try:
        info = json.loads((folder / INFO).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(info, dict) and info.get("written_by") == folders.PROGRAM
    return info if is_ours else {}


def _is_ours(folder: Path) -> bool:
    files = (path for path in folder.rglob("*") if not path.is_dir())
    names = [path.relative_to(folder).as_posix() for path in files]
    return bool(_our_info(folder)) and all(map(OUR_FILES.fullmatch, names))


V21, V30 = (
    base.Writer(
        check_writable=_check_writable,
        write=functools.partial(_write, version=version),
        count_episodes=_count,
    )
    for version in (v21.VERSION, v30.VERSION)
)
