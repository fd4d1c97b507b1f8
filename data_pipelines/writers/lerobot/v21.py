"""The files of a LeRobot dataset v2.1: a table an episode, lists as JSON lines."""

import json
from pathlib import Path
from typing import Any, Mapping

from data_pipelines.writers.lerobot import statistics
from data_pipelines.writers.lerobot.statistics import Statistics

VERSION = "v2.1"
CHUNK = 1000  # episodes in a folder
DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"


class Files:
    """Takes episodes in their order."""

    def __init__(self, root: Path) -> None:
        """Nothing is written yet below `root`, the dataset's folder."""
        self._root, self._episodes = root, 0

    def add(self, table: Any, task: str, stats: Statistics) -> None:
        """Write the next episode: its frames, its instruction and its statistics."""
        from pyarrow import parquet

        number = self._episodes
        place = DATA.format(episode_chunk=number // CHUNK, episode_index=number)
        (self._root / place).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, self._root / place)
        row = {"episode_index": number}
        listed = {"tasks": [task], "length": table.num_rows}
        self._append("episodes", {**row, **listed})
        self._append("episodes_stats", {**row, "stats": statistics.as_lists(stats)})
        self._episodes += 1

    def finish(self, tasks: Mapping[str, int]) -> None:
        """Write what is known at the end; `tasks` are numbers by instruction."""
        for task, number in tasks.items():
            self._append("tasks", {"task_index": number, "task": task})

    def info(self) -> dict[str, Any]:
        """What info.json says of the files."""
        return {
            "total_videos": 0,
            "total_chunks": -(-self._episodes // CHUNK),
            "chunks_size": CHUNK,
            "data_path": DATA,
            "video_path": None,
        }

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        with open(self._root / f"meta/{name}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
