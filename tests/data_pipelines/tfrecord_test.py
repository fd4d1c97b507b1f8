"""Tests of data_pipelines.tfrecord: the bytes, and each damage with its record."""

import numpy as np
import pytest

from data_pipelines import tfrecord

RECORDS = [b"first", b"", b"x" * 5000]


@pytest.fixture()
def file(tmp_path):
    tfrecord.write(tmp_path / "a.tfrecord", RECORDS)
    return tmp_path / "a.tfrecord"


def test_records_come_back(file):
    assert list(tfrecord.read(file)) == RECORDS
    assert len(tfrecord.index(file)) == 3


def test_the_bytes_are_length_checksum_data_checksum(tmp_path):
    tfrecord.write(tmp_path / "a", [b"123456789"])
    content = (tmp_path / "a").read_bytes()
    assert content[:8] == b"\x09" + bytes(7)
    assert content[12:21] == b"123456789" and len(content) == 25
    # The CRC-32C of the data is 0xE3069283, by the mask of TFRecord 0xC78AB0E5.
    assert content[21:] == (0xC78AB0E5).to_bytes(4, "little")


def test_an_empty_file_has_no_records(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    assert list(tfrecord.read(tmp_path / "a")) == []
    assert tfrecord.index(tmp_path / "a") == []


@pytest.mark.parametrize("cut", [1, 4, 5, 2000, 5015])
def test_a_file_cut_short_names_its_record(file, cut):
    content = file.read_bytes()
    file.write_bytes(content[:-cut])
    for function in (lambda path: list(tfrecord.read(path)), tfrecord.index):
        with pytest.raises(ValueError, match=f"{file}, record 2: the file ends in the"):
            function(file)


def test_changed_bytes_name_their_record(file):
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="record 2: its bytes do not match"):
        list(tfrecord.read(file))
    content[5 + 16 + 3] ^= 1  # of the length of the second record
    file.write_bytes(content)
    for function in (lambda path: list(tfrecord.read(path)), tfrecord.index):
        with pytest.raises(ValueError, match="record 1: its length does not match"):
            function(file)


def test_another_kind_of_file_is_named(tmp_path):
    file = tmp_path / "a.tfrecord"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\n")
    with pytest.raises(ValueError, match="is a Git-LFS pointer.*git lfs pull"):
        tfrecord.index(file)
    file.write_bytes(np.random.default_rng(0).bytes(99))
    with pytest.raises(ValueError, match="record 0: its length does not match"):
        tfrecord.index(file)
    file.write_bytes(b"\x01\x02")
    with pytest.raises(ValueError, match="record 0"):
        tfrecord.index(file)
