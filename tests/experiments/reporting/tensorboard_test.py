"""Tests of experiments.reporting.tensorboard: what lies on disk, row by row."""

import struct

import pytest
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event

from experiments.reporting import tensorboard


def events(folder):
    """All events of a folder in order of their files: TFRecords, checksums skipped."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.suffix):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(folder):
    return [
        (event.step, value.tag, round(value.simple_value, 5))
        for event in events(folder)
        for value in event.summary.value
    ]


def test_rows_are_on_disk_once_written(tmp_path):
    with tensorboard.board(tmp_path / "stage", resumed_after=0) as write:
        write({"update": 1.0, "loss": 0.5, "kl": 0.25})
        first = [(1, "loss", 0.5), (1, "kl", 0.25)]
        assert scalars(tmp_path / "stage") == first
        write({"update": 2.0, "loss": 0.375})
    assert scalars(tmp_path / "stage") == [*first, (2, "loss", 0.375)]
    assert events(tmp_path / "stage")[0].file_version == "brain.Event:2"


def test_resuming_supersedes_rows_beyond_the_checkpoint(tmp_path):
    for done, values in ((0, (1, 2, 3)), (2, (3, 4))):
        with tensorboard.board(tmp_path, resumed_after=done) as write:
            for update in values:
                write({"update": update, "loss": 10 * done + update})
    assert len(list(tmp_path.iterdir())) == 2
    starts = [e.step for e in events(tmp_path) if e.session_log.status]
    assert starts == [1, 3]
    assert [step for step, _, _ in scalars(tmp_path)] == [1, 2, 3, 3, 4]


def test_a_full_disk_raises_while_writing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        with tensorboard.board(tmp_path, resumed_after=0) as write:
            monkeypatch.setattr(EventsWriter, "write_event", full)
            write({"update": 1.0, "loss": 0.5})
