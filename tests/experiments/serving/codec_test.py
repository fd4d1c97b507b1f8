"""Tests of experiments.serving.codec against openpi-client's own."""

import msgpack
import numpy as np
import pytest
from openpi_client import msgpack_numpy

from experiments.serving import codec

DTYPES = ("|b1", "|u1", "<i2", ">i4", "<f2", "<f4", ">f8", "<U3", "|S2", "<M8[s]")


def random_tree(rng, depth=0):
    """Dicts and lists of plain values, arrays and scalars."""
    kind = rng.integers(8 if depth < 3 else 6)
    shape = tuple(rng.integers(0, 4, rng.integers(0, 4)))
    if kind == 0:
        return rng.integers(0, 100, shape).astype(DTYPES[rng.integers(len(DTYPES))])
    if kind == 1:
        return np.asfortranarray(rng.normal(size=(*shape, 2)).astype("<f4"))[..., ::-1]
    if kind == 2:
        return np.dtype(DTYPES[rng.integers(7)]).type(rng.integers(2))
    if kind == 3:
        return [None, True, -(2**40), 2**63, 0.1, float("inf")][rng.integers(6)]
    if kind == 4:
        return ["", "prüfen", "x" * 300][rng.integers(3)]
    if kind == 5:
        return rng.bytes(int(rng.integers(40)))
    children = [random_tree(rng, depth + 1) for _ in range(rng.integers(4))]
    if kind == 6:
        return children
    return {[f"key{i}", f"b{i}".encode()][i % 2]: c for i, c in enumerate(children)}


def assert_equal(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected):
            assert_equal(*pair)
    elif isinstance(expected, np.ndarray):
        assert (found.dtype.str, found.shape) == (expected.dtype.str, expected.shape)
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def test_known_messages_to_the_byte():
    array = bytes.fromhex("81a17384c40b") + b"__ndarray__" + bytes.fromhex("c3c404")
    array += b"data" + bytes.fromhex("c4040000c03fc405") + b"dtype" + b"\xa3<f4"
    array += bytes.fromhex("c405") + b"shape" + bytes.fromhex("9101")
    assert codec.pack({"s": np.array([1.5], np.float32)}) == array
    scalar = bytes.fromhex("83c40d") + b"__npgeneric__" + bytes.fromhex("c3c404")
    scalar += b"data" + bytes.fromhex("cb4000000000000000c405") + b"dtype\xa3<f4"
    assert codec.pack(np.float32(2)) == scalar


@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_openpi_client(seed):
    tree = random_tree(np.random.default_rng(seed))
    packed = codec.pack(tree)
    assert packed == msgpack_numpy.packb(tree)
    assert_equal(codec.unpack(packed), msgpack_numpy.unpackb(packed))
    assert codec.pack(codec.unpack(packed)) == packed


def test_unpacked_arrays_are_read_only_views():
    found = codec.unpack(codec.pack(np.arange(3)))
    assert not found.flags.writeable and not found.flags.owndata


def array_message(**changes):
    fields = {"__ndarray__": True, "data": b"1234", "dtype": "<f4", "shape": [1]}
    return msgpack.packb({k.encode(): v for k, v in {**fields, **changes}.items()})


@pytest.mark.parametrize(
    "frame, words",
    [
        (b"", "no message"),
        (b"\xc1", "no message"),
        (codec.pack({"a": 1}) + b"x", "no message"),
        (codec.pack({"a": "long text"})[:-3], "no message"),
        (b"\x91" * 5000, "no message of openpi's client: StackError"),
        (msgpack.packb([[0]] * 1000), "more than 1000 lists and maps"),
        (msgpack.packb([{}] * 1000), "more than 1000 lists and maps"),
        (msgpack.packb([0] * 4097), "no message"),
        (b"\xdd\xff\xff\xff\xff", "no message"),
        (b"\x81\xa1\xff\x01", "no message"),
        (array_message(shape=[2]), "4 bytes instead of 8"),
        (array_message(data=b"12345"), "5 bytes instead of 4"),
        (array_message(shape=[2**62, 2**62]), "instead of"),
        (array_message(shape=[-1]), "cannot have the shape"),
        (array_message(shape=[True]), "cannot have the shape"),
        (array_message(shape=[1] * 9), "cannot have the shape"),
        (array_message(shape=1), "lacks its data or its shape"),
        (array_message(data="1234"), "lacks its data or its shape"),
        (array_message(dtype="|O"), "refused"),
        (array_message(dtype="<c8"), "refused"),
        (array_message(dtype="<f4,<f4"), "refused"),
        (array_message(dtype="01,f4"), "refused"),
        (array_message(dtype=4), "dtype 4 is refused"),
        (msgpack.packb({b"__npgeneric__": 1, b"dtype": "|S9", b"data": 9}), "scalar"),
        (msgpack.packb({b"__npgeneric__": 1, b"dtype": "<f4"}), "cannot be None"),
        (msgpack.packb({b"__npgeneric__": 1, b"dtype": "|i1", b"data": 999}), "999"),
    ],
)
def test_damaged_messages_are_refused(frame, words):
    with pytest.raises(ValueError, match=words):
        codec.unpack(frame)


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_byte_never_escapes(seed):
    """Whatever is damaged, the answer is a value or a ValueError."""
    rng = np.random.default_rng(seed)
    packed = bytearray(codec.pack({"a": np.arange(6.0), "b": [np.int8(1), "text"]}))
    for _ in range(200):
        damaged = bytearray(packed)
        for place in rng.integers(0, len(packed), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        try:
            codec.unpack(bytes(damaged))
        except ValueError:
            pass


@pytest.mark.parametrize(
    "value", [np.array([None]), np.complex64(1), np.zeros(1, "V3")]
)
def test_other_dtypes_cannot_be_sent(value):
    with pytest.raises(ValueError, match="cannot be sent"):
        codec.pack(value)
    with pytest.raises(TypeError, match="A set cannot be sent"):
        codec.pack({1})
