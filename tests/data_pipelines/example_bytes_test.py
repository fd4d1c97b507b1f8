"""A stored example held against a parser of its own: protobuf's wire format by hand."""

import numpy as np

from data_pipelines import rlds, tfrecord
from tests.data_pipelines.rlds_test import make_episode


def test_example_bytes_equal_tf_train_example(tmp_path):
    episodes = [make_episode(seed, length=2 + seed) for seed in range(2)]
    folder = rlds.write(tmp_path / "x", episodes, name="libero_goal")
    (shard,) = folder.glob("*.tfrecord-*")
    for raw, episode in zip(tfrecord.read(shard), episodes, strict=True):
        features = parse_example(raw)
        assert len(features["steps/observation/image"]) == len(episode.action)
        assert features["steps/observation/image"][0].startswith(b"\x89PNG")
        actions = np.asarray(features["steps/action"], np.float32).reshape(-1, 7)
        np.testing.assert_array_equal(actions, episode.action)
        text = episode.instruction.encode()
        assert features["steps/language_instruction"] == [text] * len(episode.action)
        assert features["episode_metadata/task_id"] == [episode.task]
        assert features["steps/is_first"] == [1] + [0] * (len(episode.action) - 1)


def parse_example(raw: bytes) -> dict[str, list]:
    """A tf.train.Example by hand: Features{map name -> bytes, float or int64 list}."""
    found = {}
    for _, entry in fields(dict(fields(raw))[1]):
        parts = dict(fields(entry))
        ((kind, content),) = fields(parts[2])
        values: list = [value for _, value in fields(content)]
        if kind == 2:  # packed floats
            values = np.frombuffer(values[0], "<f4").tolist()
        elif kind == 3:  # packed varints
            values = varints(values[0])
        found[parts[1].decode()] = values
    return found


def fields(data: bytes) -> list[tuple[int, bytes]]:
    """(number, content) of a protobuf message that has only length-delimited fields."""
    found, position = [], 0
    while position < len(data):
        tag, position = varint(data, position)
        assert tag & 7 == 2
        size, position = varint(data, position)
        found.append((tag >> 3, data[position : position + size]))
        position += size
    return found


def varint(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        value |= (data[position] & 127) << shift
        position, shift = position + 1, shift + 7
        if data[position - 1] < 128:
            return value, position


def varints(data: bytes) -> list[int]:
    found, position = [], 0
    while position < len(data):
        value, position = varint(data, position)
        found.append(value)
    return found
