"""Tests of experiments.serving.requests."""

import dataclasses

import numpy as np
import pytest
from openpi_client import image_tools

from experiments.serving import requests
from experiments.serving.requests import RequestFormat
from tests.helpers import served

FORMAT = RequestFormat(image_size=64)


def observation(changes=None, request_format=FORMAT):
    found = {**served.request(), **(changes or {})}
    found = {name: value for name, value in found.items() if value is not None}
    return requests.to_observation(found, request_format)


@pytest.mark.parametrize(
    "shape", [(224, 224), (180, 320), (333, 100), (64, 64), (7, 5), (64, 63)]
)
@pytest.mark.parametrize("size", [64, 224])
def test_resizing_is_that_of_openpi_client(shape, size):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    expected = image_tools.resize_with_pad(picture, size, size)
    np.testing.assert_array_equal(requests.resize_with_pad(picture, size), expected)


def test_openpis_pictures_are_turned_upright():
    upright = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    libero = upright[::-1]  # as OpenGL delivers it
    sent = np.ascontiguousarray(libero[::-1, ::-1])  # by openpi's examples/libero
    found = observation({"observation/image": sent})
    np.testing.assert_array_equal(found["images"][0], upright)
    plain = dataclasses.replace(FORMAT, image_convention="upright")
    found = observation({"observation/image": upright}, plain)
    np.testing.assert_array_equal(found["images"][0], upright)


def test_openpis_other_forms_of_pictures_are_equal():
    picture = served.request()["observation/image"]
    expected = observation()["images"]
    for other in (
        picture.transpose(2, 0, 1),
        (picture + np.float32(0.5)) / np.float32(255.6),
    ):
        found = observation({"observation/image": other})["images"]
        assert found.dtype == np.uint8
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_missing_prompt_is_the_default():
    assert observation()["prompt"] == served.PROMPT
    given = dataclasses.replace(FORMAT, default_prompt="wait")
    assert observation({"prompt": None}, given)["prompt"] == "wait"
    assert observation(request_format=given)["prompt"] == served.PROMPT


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"observation/image": None}, "lacks observation/image"),
        ({"observation/state": None}, "lacks observation/state"),
        ({"observation/state": [[1], [1, 2]]}, "state is lists of lists"),
        ({"observation/state": np.zeros(8, "m8[s]")}, r"is timedelta64\[s\] \[8\]"),
        ({"prompt": None}, "lacks a prompt: .*--default_prompt"),
        ({"prompt": b"bytes"}, "prompt is b'bytes'"),
        ({"prompt": "x" * 1001}, "at most 1000 letters"),
        ({"observation/image": [1]}, "observation/image is a list: send uint8"),
        ({"observation/image": np.zeros((4, 4))}, r"is float64 \[4, 4\]"),
        ({"observation/image": np.zeros((4, 4, 4), "u1")}, r"is uint8 \[4, 4, 4\]"),
        ({"observation/image": np.zeros((0, 4, 3), "u1")}, r"is uint8 \[0, 4, 3\]"),
        ({"observation/image": np.zeros(0)}, r"is float64 \[0\]"),
        ({"observation/image": np.zeros((5000, 1, 3), "u1")}, "at most 4096 pixels"),
        ({"observation/image": np.zeros((4000, 4, 3), "u1")}, "too narrow"),
        ({"observation/image": np.zeros((4, 4, 3), "i4")}, "is int32: send uint8"),
        ({"observation/image": np.full((4, 4, 3), 2.0)}, r"not all in \[0, 1\]"),
        ({"observation/image": np.full((4, 4, 3), np.nan)}, r"not all in \[0, 1\]"),
    ],
)
def test_what_is_no_observation_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        observation(changes)
    with pytest.raises(ValueError, match="The request is a list"):
        requests.to_observation([], FORMAT)


def test_a_state_may_come_in_parts():
    """As openpi's DROID client sends joints and gripper."""
    keys = ("observation/joint_position", "observation/gripper_position")
    given = dataclasses.replace(FORMAT, state=keys)
    joints = np.arange(7.0)
    for gripper in (0.5, [0.5], np.float32(0.5)):
        changes = {keys[0]: joints, keys[1]: gripper}
        state = observation(changes, given)["state"]
        np.testing.assert_array_equal(state, [*joints, 0.5])
        assert state.dtype == np.float32
    with pytest.raises(ValueError, match="lacks observation/gripper_position"):
        observation({keys[0]: joints}, given)
    with pytest.raises(ValueError, match=r"position is <U1 \[\]: send numbers"):
        observation({keys[0]: joints, keys[1]: "x"}, given)


def test_states_that_overflow_become_infinite():
    state = observation({"observation/state": [1e300] + [0] * 7})["state"]
    assert state.dtype == np.float32 and np.isinf(state[0])


def test_a_format_names_what_it_cannot_read():
    with pytest.raises(ValueError, match="'sideways': choose from upright"):
        RequestFormat(64, image_convention="sideways")
    with pytest.raises(ValueError, match="looks at 3 pictures"):
        RequestFormat(64, views=3)
