"""Tests of data_pipelines.png: Pillow's pixels of every kind of file, in threads."""

import io
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from data_pipelines import png

PICTURE = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
SMOOTH = np.add.outer(np.arange(61), np.arange(131))[..., None] + np.arange(3)


def saved(picture, kind="png", **options):
    """The bytes of a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pillows(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


@pytest.mark.parametrize("array", [PICTURE, SMOOTH.astype(np.uint8), PICTURE[:1, :1]])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_pixels_are_pillows(array, level):
    encoded = saved(Image.fromarray(array), compress_level=level)
    np.testing.assert_array_equal(png.decode(encoded), array)
    np.testing.assert_array_equal(png.decode(memoryview(encoded)), array)
    np.testing.assert_array_equal(png.decode(png.encode(array)), array)


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P", "1"])
def test_other_channels_are_converted_as_by_pillow(mode):
    encoded = saved(Image.fromarray(PICTURE).convert(mode))
    np.testing.assert_array_equal(png.decode(encoded), pillows(encoded))


def test_other_kinds_of_files_are_pillows():
    picture = Image.fromarray(PICTURE)
    clear = saved(picture, transparency=tuple(PICTURE[0, 0].tolist()))
    for encoded in (saved(picture, "jpeg"), clear):
        np.testing.assert_array_equal(png.decode(encoded), pillows(encoded))


def test_sixteen_bits_are_refused():
    gray = Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257)
    with pytest.raises(ValueError, match="more than eight bits, I;16"):
        png.decode(saved(gray))


@pytest.mark.parametrize("damage", ["cut", "gap", "bit", "empty"])
def test_damage_is_refused_and_forgotten(damage):
    whole = png.encode(PICTURE)
    broken = {
        "cut": whole[: len(whole) // 2],
        "gap": whole[:1000] + whole[1100:],
        "bit": whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:],
        "empty": b"",
    }[damage]
    with pytest.raises((OSError, ValueError, SyntaxError)):
        png.decode(broken)
    np.testing.assert_array_equal(png.decode(whole), PICTURE)


def test_pictures_outlive_their_decoder_in_threads():
    arrays = [np.roll(PICTURE, shift, axis=1) for shift in range(40)]
    with ThreadPoolExecutor(4) as pool:
        decoded = list(pool.map(png.decode, map(png.encode, arrays)))
    np.testing.assert_array_equal(decoded, arrays)


def test_it_works_without_pyav(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    np.testing.assert_array_equal(png.decode(png.encode(PICTURE)), PICTURE)
