"""Writes the history of a stage as TensorBoard scalars, beside its CSV file.

    with tensorboard.board(folder, resumed_after=12) as write:
        write({"update": 13.0, "loss": 0.4})

Look at it with `tensorboard --logdir=WORKDIR` (which is not among the requirements).
"""

import contextlib
import time
from pathlib import Path
from typing import Callable, Iterator, Mapping

STEP = "update"  # the column that is the step


@contextlib.contextmanager
def board(
    folder: Path, *, resumed_after: int
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yield `write(row)`, which adds all numbers of a row at its "update".

    Each row is on disk when `write` returns. `tensorboardX.SummaryWriter` writes the
    same events, with `purge_step=resumed_after + 1`, but from a thread behind a queue
    of ten: when a full disk had ended the thread, the eleventh value blocked training
    (measured with tensorboardX 2.6.5). Its file writer raises the OSError here.

    Args:
      folder: of the event files; each run or resumed run adds one.
      resumed_after: the last update of the restored checkpoint, 0 for none. TensorBoard
        hides what an interrupted run wrote beyond it.
    """
    # Not above: it imports torch where that is installed, which takes four seconds.
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary

    folder.mkdir(parents=True, exist_ok=True)
    events = EventsWriter(str(folder / "events"), f".{time.time_ns()}")

    def write(row: Mapping[str, float]) -> None:
        scalars = {name: value for name, value in row.items() if name != STEP}
        values = [Summary.Value(tag=k, simple_value=v) for k, v in scalars.items()]
        summary = Summary(value=values)
        step = int(row[STEP])
        events.write_event(Event(step=step, wall_time=time.time(), summary=summary))
        events.flush()

    start = SessionLog(status=SessionLog.START)
    step = resumed_after + 1
    events.write_event(Event(step=step, wall_time=time.time(), session_log=start))
    events.flush()
    try:
        yield write
    finally:
        events.close()
