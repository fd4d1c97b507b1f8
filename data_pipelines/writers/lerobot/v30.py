"""The files of a LeRobot dataset v3.0: many episodes a table, lists as tables."""

import json
from pathlib import Path
from typing import Any, Mapping

from data_pipelines.writers.lerobot import statistics
from data_pipelines.writers.lerobot.statistics import Statistics

VERSION = "v3.0"
CHUNK, FILE_MB = 1000, 100  # files in a folder; size from which the next file begins
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"

# By which pandas, and so LeRobot, finds the rows of tasks.parquet under the task.
PANDAS = [
    {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_type}
    for name, kind, numpy_type in (
        ("task_index", "int64", "int64"),
        ("task", "unicode", "object"),
    )
]


class Files:
    """Takes episodes in their order; a row group of a table for each."""

    def __init__(self, root: Path) -> None:
        """Nothing is written yet below `root`, the dataset's folder."""
        self._root = root
        self._writer: Any = None
        self._place, self._files, self._frames = Path(), 0, 0
        self._episodes: list[dict[str, Any]] = []
        self._stats: list[Statistics] = []

    def add(self, table: Any, task: str, stats: Statistics) -> None:
        """Write the next episode: its frames, its instruction and its statistics."""
        if self._writer and self._place.stat().st_size > FILE_MB << 20:
            self._close()
        if self._writer is None:
            self._open(table.schema)
        self._writer.write_table(table, row_group_size=table.num_rows)
        first, self._frames = self._frames, self._frames + table.num_rows
        chunk, file = divmod(self._files - 1, CHUNK)
        self._episodes.append(
            {
                "episode_index": len(self._episodes),
                "tasks": [task],
                "length": table.num_rows,
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": first,
                "dataset_to_index": self._frames,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
            | {
                f"stats/{name}/{key}": value
                for name, values in statistics.as_lists(stats).items()
                for key, value in values.items()
            }
        )
        self._stats.append(stats)

    def finish(self, tasks: Mapping[str, int]) -> None:
        """Write what is known at the end; `tasks` are numbers by instruction."""
        import pyarrow
        from pyarrow import parquet

        self._close()
        (self._root / EPISODES).parent.mkdir(parents=True)
        parquet.write_table(
            pyarrow.Table.from_pylist(self._episodes), self._root / EPISODES
        )
        table = pyarrow.table({"task_index": list(tasks.values()), "task": list(tasks)})
        pandas = {"index_columns": ["task"], "column_indexes": [], "columns": PANDAS}
        table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
        parquet.write_table(table, self._root / "meta/tasks.parquet")
        whole = statistics.as_lists(statistics.of_dataset(self._stats))
        (self._root / "meta/stats.json").write_text(json.dumps(whole, indent=4))

    def info(self) -> dict[str, Any]:
        """What info.json says of the files."""
        return {
            "chunks_size": CHUNK,
            "data_files_size_in_mb": FILE_MB,
            "video_files_size_in_mb": 200,
            "data_path": DATA,
            "video_path": None,
        }

    def _open(self, schema: Any) -> None:
        from pyarrow import parquet

        chunk, file = divmod(self._files, CHUNK)
        self._place = self._root / DATA.format(chunk_index=chunk, file_index=file)
        self._place.parent.mkdir(parents=True, exist_ok=True)
        self._writer = parquet.ParquetWriter(self._place, schema)
        self._files += 1

    def _close(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None
