"""Tests of data_pipelines.lazy_images: frames are picked, pictures resized."""

import numpy as np
import pytest

from data_pipelines import lazy_images

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 2, 8, 8, 3), np.uint8)


def test_pictures_of_that_size_stay_as_they_are():
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
