"""Turns a request of openpi's LIBERO client into an observation of a policy.

Axes: V views (agent view, wrist view), S image side of the policy, H, W of the request.
"""

from dataclasses import dataclass
from typing import Any, Mapping

import numpy as np

from omnivla_jax.core import picture_size
from omnivla_jax.core.orientation import CONVENTIONS, convert_image_convention

PICTURES = ("observation/image", "observation/wrist_image")
STATE, PROMPT = "observation/state", "prompt"
MAX_SIDE = 4096
MAX_PROMPT = 1000  # letters; a policy's tokenizer has a limit of its own


@dataclass(frozen=True)
class RequestFormat:
    """What the server expects in a request."""

    image_size: int  # S
    pictures: tuple[str, ...] = PICTURES  # their keys, in the policy's order
    state: tuple[str, ...] = (STATE,)  # keys of the numbers that make up the state
    views: int = len(PICTURES)  # that the policy looks at
    # openpi's LIBERO client turns LIBERO's frames by 180 degrees, which leaves them
    # upright and mirrored.
    image_convention: str = "openpi"
    default_prompt: str | None = None  # of requests without one

    def __post_init__(self) -> None:
        if self.image_convention not in CONVENTIONS:
            known = ", ".join(CONVENTIONS)
            raise ValueError(
                f"image_convention={self.image_convention!r}: choose from {known}."
            )
        if not 1 <= self.views <= len(self.pictures):
            raise ValueError(
                f"The policy looks at {self.views} pictures, but a request holds "
                f"{len(self.pictures)}: name the keys of all by --picture_keys."
            )


def to_observation(request: Any, request_format: RequestFormat) -> dict[str, Any]:
    """The observation that `inference.Policy` takes.

    A picture is resized in the client's frame with the client's algorithm, then turned
    upright. Keys that are not read are ignored, as by openpi's server.

    Args:
      request: an unpacked message: "observation/image" and "observation/wrist_image",
        or the pictures that the format names, uint8 [H, W, 3], float in [0, 1] or
        channels first as openpi allows; "observation/state", [8] numbers, or another
        robot's; "prompt", a text.
      request_format: what the pictures are like, and what to do without a prompt.

    Returns:
      images uint8 [V, S, S, 3] upright, state float32 [8], prompt.

    Raises:
      ValueError: a key is missing, or a value has another shape, type or size.
    """
    if not isinstance(request, Mapping):
        raise ValueError(
            f"The request is a {type(request).__name__}: send a map of observations."
        )
    names = request_format.pictures[: request_format.views]
    missing = [name for name in (*names, *request_format.state) if name not in request]
    if missing:
        raise ValueError(f"The request lacks {', '.join(missing)}.")
    size = request_format.image_size
    pictures = [
        resize_with_pad(to_picture(request[name], name), size) for name in names
    ]
    states = [_numbers(request[name], name) for name in request_format.state]
    return {
        "images": convert_image_convention(
            np.stack(pictures), request_format.image_convention
        ),
        "state": states[0] if len(states) == 1 else np.concatenate(states),
        "prompt": _prompt(request, request_format.default_prompt),
    }


def to_picture(value: Any, name: str) -> np.ndarray:
    """A picture of a request as uint8 [H, W, 3].

    Raises:
      ValueError: it is none, with its `name`.
    """
    if not isinstance(value, np.ndarray):
        raise ValueError(
            f"{name} is a {type(value).__name__}: send uint8 [224, 224, 3]."
        )
    picture = value
    if picture.ndim == 3 and picture.shape[0] == 3 and picture.shape[2] != 3:
        picture = picture.transpose(1, 2, 0)
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(
            f"{name} is {value.dtype} {list(value.shape)}: send uint8 [224, 224, 3]."
        )
    if max(picture.shape) > MAX_SIDE:
        raise ValueError(
            f"{name} is {list(picture.shape)}: send at most {MAX_SIDE} pixels a side."
        )
    if np.issubdtype(picture.dtype, np.floating):
        if not (picture >= 0).all() or not (picture <= 1).all():
            raise ValueError(f"{name} is {picture.dtype}, but not all in [0, 1].")
        picture = (255 * picture).astype(np.uint8)
    if picture.dtype != np.uint8:
        raise ValueError(f"{name} is {picture.dtype}: send uint8, or float in [0, 1].")
    return np.ascontiguousarray(picture)


def _numbers(value: Any, name: str) -> np.ndarray:
    """A part of the state as float32 [P]; one number may come without an axis."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is lists of lists: send numbers [P].") from error
    if array.dtype.kind not in "iuf" or array.ndim > 1:
        raise ValueError(
            f"{name} is {array.dtype} {list(array.shape)}: send numbers [P]."
        )
    with np.errstate(over="ignore"):  # what overflows is infinite, which is refused
        return np.atleast_1d(array).astype(np.float32)


def resize_with_pad(picture: np.ndarray, size: int) -> np.ndarray:
    """Fit a picture uint8 [H, W, 3] into [size, size, 3], keeping its aspect.

    The algorithm of openpi-client's `image_tools.resize_with_pad`: PIL's bilinear
    filter, which averages where it shrinks, and black borders.
    """
    height, width = picture.shape[:2]
    if min(height, width) * size < max(height, width):
        raise ValueError(f"A picture of {height} x {width} pixels is too narrow.")
    return picture_size.fit(picture, (size, size))


def _prompt(request: Mapping[Any, Any], default: str | None) -> str:
    prompt = request.get(PROMPT, default)
    if prompt is None:
        raise ValueError(
            "The request lacks a prompt: send one, or start the server with "
            "--default_prompt."
        )
    if not isinstance(prompt, str) or len(prompt) > MAX_PROMPT:
        raise ValueError(
            f"prompt is {prompt!r:.80}: send a text of at most {MAX_PROMPT} letters."
        )
    return prompt
