"""Tests of data_pipelines.lazy_images: aspect ratios stay, frames are picked."""

import numpy as np
import pytest

from data_pipelines import lazy_images

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 2, 8, 8, 3), np.uint8)


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
    fitted = lazy_images.fit(picture, size)
    expected = np.zeros((*size, 3), np.uint8)
    expected[inner] = 200
    np.testing.assert_array_equal(fitted, expected)


def test_the_same_size_is_the_same_picture():
    picture = IMAGES[0, 0]
    assert lazy_images.fit(picture, (8, 8)) is picture
    assert lazy_images.resize(IMAGES, 8) is IMAGES


def test_frames_are_picked_in_order():
    picked = lazy_images.pick(IMAGES, np.asarray([4, 0, 3]))
    assert picked.shape == (3, *IMAGES.shape[1:])
    np.testing.assert_array_equal(picked, IMAGES[[4, 0, 3]])
    with pytest.raises(IndexError, match="Frame 3 of a demonstration of 3"):
        picked[3]


def test_a_smaller_picture_averages():
    smaller = np.asarray(lazy_images.resize(IMAGES, 4))
    assert smaller.shape == (5, 2, 4, 4, 3)
    means = IMAGES.mean(axis=(2, 3)), smaller.mean(axis=(2, 3))
    np.testing.assert_allclose(*means, atol=25)
