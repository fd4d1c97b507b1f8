"""Tests of data_pipelines.crc32c against published vectors and a loop over bits."""

import numpy as np
import pytest

from data_pipelines import crc32c


@pytest.mark.parametrize(
    "data, crc",
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        # RFC 3720, appendix B.4.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_vectors(data, crc):
    assert crc32c.crc32c(data) == crc


def by_bits(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("size", [4095, 4096, 4097, 65536, 65537, 70001])
def test_long_data_equals_bit_by_bit(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c.crc32c(data) == by_bits(data)


def test_the_mask_rotates_by_fifteen_bits():
    crc = 0xE3069283
    rotated = int(f"{crc:032b}"[-15:] + f"{crc:032b}"[:-15], 2)
    assert crc32c.masked(b"123456789") == (rotated + 0xA282EAD8) % 2**32
