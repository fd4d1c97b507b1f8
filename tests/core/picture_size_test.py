"""Tests of core.picture_size: aspect ratios stay, as openpi-client has it."""

import numpy as np
import pytest
from openpi_client import image_tools

from omnivla_jax.core import picture_size


@pytest.mark.parametrize(
    "shape, size, inner",
    [
        ((18, 32), (16, 16), (slice(3, 12), slice(0, 16))),
        ((32, 18), (16, 16), (slice(0, 16), slice(3, 12))),
        ((8, 8), (16, 16), (slice(0, 16), slice(0, 16))),
        ((10, 10), (8, 16), (slice(0, 8), slice(4, 12))),
    ],
)
def test_a_picture_keeps_its_aspect_ratio(shape, size, inner):
    picture = np.full((*shape, 3), 200, np.uint8)
    fitted = picture_size.fit(picture, size)
    expected = np.zeros((*size, 3), np.uint8)
    expected[inner] = 200
    np.testing.assert_array_equal(fitted, expected)


@pytest.mark.parametrize("shape", [(180, 320), (37, 20), (64, 64)])
def test_pixels_are_openpis(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    expected = image_tools.resize_with_pad(picture, 56, 56)
    np.testing.assert_array_equal(picture_size.fit(picture, (56, 56)), expected)


def test_the_same_size_is_the_same_picture():
    picture = np.zeros((8, 8, 3), np.uint8)
    assert picture_size.fit(picture, (8, 8)) is picture


def test_a_missing_pillow_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match="needs Pillow: pip install"):
        picture_size.fit(np.zeros((8, 8, 3), np.uint8), (4, 4))
