"""The metadata of a LeRobot dataset: where each episode's frames lie."""

import json
import re
from pathlib import Path
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from data_pipelines.readers.lerobot import fields, tables, videos
from omnivla_jax.core import file_kinds

INFO_FILE = "meta/info.json"
VERSIONS = ("v2.0", "v2.1", "v3.0")
OLD_DEFAULT = 1000  # episodes of a chunk of v2
VIDEO_FIELDS = ("chunk_index", "file_index", "from_timestamp")  # of a camera in v3.0


class Dataset(NamedTuple):
    """The metadata that all versions share."""

    root: Path
    version: str  # one of `VERSIONS`
    info: Mapping[str, Any]  # info.json
    fps: float
    tasks: Mapping[int, str]  # instruction by task_index


class Episode(NamedTuple):
    """Where an episode's frames lie."""

    number: int  # episode_index
    length: int  # frames
    file: Path  # of the table
    first: int  # row of the first frame in it
    videos: Mapping[str, tuple[Path, float]]  # file and its start in s, by camera
    is_alone: bool  # no other episode is in the table


def open_dataset(root: Path) -> Dataset:
    """Read info.json and the tasks.

    Raises FileNotFoundError or ValueError with one line: a file is missing or damaged,
    or the version is unknown.
    """
    root = root.absolute()
    file = root / INFO_FILE
    info = _parse(_read_text(file), str(file))
    version = str(info.get("codebase_version"))
    if version not in VERSIONS:
        raise ValueError(
            f"{file} gives codebase_version {version}: {', '.join(VERSIONS)} are read; "
            "convert the dataset with LeRobot's own scripts."
        )
    missing = [key for key in ("fps", "features", "data_path") if not info.get(key)]
    if missing:
        raise ValueError(f"{file} has no {missing[0]}: get it again.")
    features = info["features"]
    if not isinstance(features, dict) or not all(
        isinstance(feature, dict) for feature in features.values()
    ):
        raise ValueError(f"{file}: features is no map of maps: get it again.")
    fps = fields.seconds(info["fps"], "fps", str(file))
    if fps <= 0:
        raise ValueError(f"{file}: fps is {fps:g}: get it again.")
    return Dataset(root, version, info, fps, _tasks(root, version))


def _tasks(root: Path, version: str) -> dict[int, str]:
    """The instructions by task_index."""
    file = root / "meta/tasks.jsonl"
    if version == "v3.0":
        file = root / "meta/tasks.parquet"
        columns = tables.read_columns(file)
        names = columns.get("task", columns.get("__index_level_0__"))
        if names is None or "task_index" not in columns:
            raise ValueError(
                f"{file} has the columns {', '.join(columns)}, not task and "
                "task_index: get it again."
            )
        listed = list(zip(columns["task_index"], names))
    else:
        listed = _rows(file, "task_index", "task")
    tasks = {}
    for row, (number, words) in enumerate(listed):
        where = f"{file}, row {row}"
        tasks[fields.count(number, "task_index", where)] = fields.instruction(
            words, where
        )
    return tasks


def episodes(
    dataset: Dataset, cameras: Sequence[str], split: str | None
) -> list[Episode]:
    """The episodes of a dataset in order.

    Args:
      dataset: as `open_dataset` returns it.
      cameras: those that are videos.
      split: a name of info.json's `splits`; None: all episodes.

    Raises:
      ValueError: the split is unknown, or metadata contradict each other.
    """
    listed = (_listed_v3 if dataset.version == "v3.0" else _listed_v2)(dataset, cameras)
    listed.sort(key=lambda episode: episode.number)
    expected = dataset.info.get("total_episodes", len(listed))
    if len(listed) != expected or not listed:
        raise ValueError(
            f"{dataset.root / 'meta'} lists {len(listed)} episodes, {INFO_FILE} has "
            f"{expected}: get the folder again."
        )
    for one, other in zip(listed[:-1], listed[1:]):
        if one.number == other.number:
            raise ValueError(
                f"{dataset.root / 'meta'} lists episode {one.number} twice: get the "
                "folder again."
            )
    if split is None:
        return listed
    splits = dataset.info.get("splits")
    splits = splits if isinstance(splits, dict) else {}
    if split not in splits:
        raise ValueError(
            f"data.split={split!r} is none of {INFO_FILE}'s: choose one of "
            f"{', '.join(splits) or 'none'}."
        )
    bounds = re.fullmatch(r"(\d+):(\d+)", str(splits[split]))
    if bounds is None:
        raise ValueError(
            f"{dataset.root / INFO_FILE} gives the split {split} as {splits[split]!r}: "
            "only FIRST:LAST is read."
        )
    chosen = range(int(bounds[1]), int(bounds[2]))
    return [episode for episode in listed if episode.number in chosen]


def check_files(listed: Iterable[Episode]) -> None:
    """Refuse files that are missing, cut short, or a failed download's leftovers.

    Of tables, only the presence is checked; opening one checks the rest.
    """
    frames = {episode.file: 0 for episode in listed}  # of each video
    for episode in listed:
        for file, _ in episode.videos.values():
            frames[file] = frames.get(file, 0) + episode.length
    files = list(frames)
    kinds = {file: file_kinds.identify(file) for file in files}
    missing = [file for file, kind in kinds.items() if kind is file_kinds.MISSING]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} is missing ({len(missing)} of the dataset's {len(files)} "
            "files are not there): get them again."
        )
    for file, kind in kinds.items():
        if kind in file_kinds.LEFTOVERS:
            raise ValueError(file_kinds.describe(file))
        if frames[file]:
            videos.check_whole(file, frames[file])


def _listed_v2(dataset: Dataset, cameras: Sequence[str]) -> list[Episode]:
    """The episodes of v2: a table and a video of each camera for every episode."""
    root, info, meta = dataset.root, dataset.info, str(dataset.root / INFO_FILE)
    chunk_size = fields.count(info.get("chunks_size", OLD_DEFAULT), "chunks_size", meta)
    file, listed = root / "meta/episodes.jsonl", []
    for row, (number, length) in enumerate(_rows(file, "episode_index", "length")):
        where = f"{file}, row {row}"
        number = fields.count(number, "episode_index", where)
        places = {
            "episode_index": number,
            "episode_chunk": number // max(chunk_size, 1),
        }
        paths = {
            camera: fields.place(
                root,
                info.get("video_path"),
                "video_path",
                meta,
                video_key=camera,
                **places,
            )
            for camera in cameras
        }
        listed.append(
            Episode(
                number=number,
                length=_length(length, where),
                file=fields.place(root, info["data_path"], "data_path", meta, **places),
                first=0,
                videos={camera: (path, 0.0) for camera, path in paths.items()},
                is_alone=True,
            )
        )
    return listed


def _listed_v3(dataset: Dataset, cameras: Sequence[str]) -> list[Episode]:
    """The episodes of v3.0: several in a table and in a video."""
    folder = dataset.root / "meta/episodes"
    files = sorted(folder.glob("chunk-*/file-*.parquet"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no chunk-*/file-*.parquet.")
    names = ["episode_index", "length", "dataset_from_index"]
    names += ["data/chunk_index", "data/file_index"]
    names += [
        f"videos/{camera}/{field}" for camera in cameras for field in VIDEO_FIELDS
    ]
    listed = []
    for file in files:
        columns = tables.read_columns(file, names)
        for row, values in enumerate(zip(*(columns[name] for name in names))):
            where = f"{file}, row {row}"
            numbers = {
                name: (fields.seconds if name.endswith("timestamp") else fields.count)(
                    value, name, where
                )
                for name, value in zip(names, values)
            }
            listed.append(_episode_v3(dataset, cameras, numbers, where))
    starts: dict[Path, int] = {}  # global index of a table's first row
    for episode in listed:
        first = starts.get(episode.file, episode.first)
        starts[episode.file] = min(first, episode.first)
    return [e._replace(first=e.first - starts[e.file]) for e in listed]


def _episode_v3(
    dataset: Dataset, cameras: Sequence[str], numbers: Mapping[str, Any], where: str
) -> Episode:
    """An episode of v3.0 from a row of its table, `first` being a global index."""
    root, info, meta = dataset.root, dataset.info, str(dataset.root / INFO_FILE)

    def file(template: str, prefix: str, **names: str) -> Path:
        return fields.place(
            root,
            info.get(template),
            template,
            meta,
            chunk_index=numbers[f"{prefix}/chunk_index"],
            file_index=numbers[f"{prefix}/file_index"],
            **names,
        )

    return Episode(
        number=numbers["episode_index"],
        length=_length(numbers["length"], where),
        file=file("data_path", "data"),
        first=numbers["dataset_from_index"],
        videos={
            camera: (
                file("video_path", f"videos/{camera}", video_key=camera),
                numbers[f"videos/{camera}/from_timestamp"],
            )
            for camera in cameras
        },
        is_alone=False,
    )


def _length(value: Any, where: str) -> int:
    """The frames of an episode, at least one."""
    length = fields.count(value, "length", where)
    if not length:
        raise ValueError(f"{where}: the episode has no frame: get the file again.")
    return length


def _read_text(file: Path) -> str:
    """A JSON file's text; one-line errors say what lies there instead."""
    kind = file_kinds.identify(file)
    if kind is file_kinds.MISSING:
        raise FileNotFoundError(file_kinds.describe(file))
    if kind is not file_kinds.JSON:
        raise ValueError(file_kinds.describe(file))
    return file.read_text("utf-8")


def _parse(text: str, where: str) -> dict[str, Any]:
    """The JSON object of `text`."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: no whole JSON ({error}), get it again.") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"{where}: {text[:40]!r} is no JSON object, get it again.")
    return parsed


def _rows(file: Path, first: str, second: str) -> list[tuple[Any, Any]]:
    """Two fields of every row of a file of JSON lines."""
    rows = []
    for number, line in enumerate(_read_text(file).splitlines()):
        row = _parse(line, f"{file}, row {number}")
        if first not in row or second not in row:
            raise ValueError(
                f"{file}, row {number} has {', '.join(row)}, not {first} and {second}: "
                "get it again."
            )
        rows.append((row[first], row[second]))
    return rows
