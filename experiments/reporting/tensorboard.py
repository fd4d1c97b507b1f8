"""Writes the history of a stage as TensorBoard scalars, beside its CSV file.

    with tensorboard.board(folder, resumed_after=12) as write:
        write({"update": 13.0, "loss": 0.4})

Each row is on disk when `write` returns, in this thread: a full disk is an OSError here
and not a traceback of a thread. Look at it with `tensorboard --logdir=WORKDIR` (which
is not among the requirements).
"""

import contextlib
import time
from pathlib import Path
from typing import Callable, Iterator, Mapping

STEP = "update"  # the column that is the step

Write = Callable[[Mapping[str, float]], None]


@contextlib.contextmanager
def board(folder: Path, *, resumed_after: int) -> Iterator[Write]:
    """Yield `write(row)`, which adds all numbers of a row at its "update".

    Args:
      folder: of the event files; each run or resumed run adds one.
      resumed_after: the last update of the checkpoint that was taken up, 0 for none.
        What an interrupted run wrote beyond it is marked as superseded.
    """
    # Not above: it imports torch where that is installed, which takes four seconds.
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary

    folder.mkdir(parents=True, exist_ok=True)
    events = EventsWriter(str(folder / "events"), f".{time.time_ns()}")

    def add(event: Event) -> None:
        event.wall_time = time.time()
        events.write_event(event)
        events.flush()

    def write(row: Mapping[str, float]) -> None:
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != STEP
        ]
        add(Event(step=int(row[STEP]), summary=Summary(value=values)))

    begun = SessionLog(status=SessionLog.START)
    add(Event(step=resumed_after + 1, session_log=begun))
    try:
        yield write
    finally:
        events.close()
