"""LIBERO's collision geometry, as recorded from its model files, in one frame a part.

Each category becomes a root part and one part for every joint. Lengths in m, masses in
kg, angles in rad, quaternions wxyz. Rows of shapes:
N: boxes, [N, 10]: centre (3), quaternion (4), half sizes (3).
M: capsules, [M, 7]: centres of the two caps (3 + 3), radius.
"""

import json
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np

from experiments.geometry import frames
from experiments.geometry.frames import Frame

RECORDING = Path(__file__).parents[1] / "benchmarks/libero/collision_geometry.json"
FIXTURES = (
    "desk_caddy",
    "flat_stove",
    "microwave",
    "white_cabinet",
    "wine_rack",
    "wooden_cabinet",
)
Body = dict[str, Any]


class Joint(NamedTuple):
    """The one joint of a moving part, in the part's frame."""

    kind: str  # "slide" or "hinge"
    axis: tuple[float, ...]  # [3]
    range: tuple[float, ...]  # [2], m or rad
    damping: float
    position: tuple[float, ...]  # [3]


class Region(NamedTuple):
    """A box-shaped site that goals refer to, in its part's frame."""

    position: np.ndarray  # [3]
    quaternion: np.ndarray  # [4]
    half_size: np.ndarray  # [3]


class Shapes(NamedTuple):
    """The primitives of a part."""

    boxes: np.ndarray  # [N, 10]
    capsules: np.ndarray  # [M, 7]


class Part(NamedTuple):
    """The shapes and regions that move together."""

    name: str  # LIBERO's name of the joint; "" for the root
    frame: Frame  # in the root's frame
    joint: Joint | None
    shapes: Shapes  # with every duplicate box: each of them weighs
    regions: dict[str, Region]
    explicit_mass: bool  # the recording states the inertia of this part itself


class Category(NamedTuple):
    """Everything recorded about one kind of object."""

    name: str
    fixture: bool
    bottom: float  # z of bottom_site
    top: float  # z of top_site
    radius: float  # of horizontal_radius_site
    parts: tuple[Part, ...]  # the root first


def read(path: Path = RECORDING) -> dict[str, Category]:
    """All categories of the recording at `path`, by name."""
    objects = json.loads(path.read_text())["objects"]
    return {name: _category(name, objects[name][0]) for name in sorted(objects)}


def count(shapes: Shapes) -> int:
    """How many primitives collide."""
    return len(shapes.boxes) + len(shapes.capsules)


def unique(rows: np.ndarray) -> np.ndarray:
    """`rows` [N, K] without repetitions, in the order of first appearance."""
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]


def _category(name: str, model: Body) -> Category:
    sites = {site["name"]: site["pos"] for site in model["sites"]}
    (body,) = model["bodies"]  # LIBERO ignores where this one stands
    return Category(
        name,
        name in FIXTURES,
        bottom=sites["bottom_site"][2],
        top=sites["top_site"][2],
        radius=sites["horizontal_radius_site"][0],
        parts=tuple(_parts(body, frames.IDENTITY)),
    )


def _parts(body: Body, frame: Frame) -> Iterator[Part]:
    """The part that starts at `body`, then the moving parts under it."""
    welded = list(_welded(body, frames.IDENTITY))
    geoms = [  # that collide; group 1 repeats some of them to be seen
        (geom, at)
        for member, at in welded
        for geom in member.get("geoms", ())
        if geom.get("group", 0) == 0
    ]
    boxes = [_box(geom, at) for geom, at in geoms if geom["type"] == "box"]
    capsules = [_capsule(geom, at) for geom, at in geoms if geom["type"] == "capsule"]
    yield Part(
        body["joints"][0]["name"] if body.get("joints") else "",
        frame,
        _joint(body),
        Shapes(
            np.array(boxes).reshape(-1, 10),
            # The microwave's handle is listed twice: to be met and to be seen.
            unique(np.array(capsules).reshape(-1, 7)),
        ),
        {
            site["name"]: _region(site, at)
            for member, at in welded
            for site in member.get("sites", ())
            if site["type"] == "box"
        },
        explicit_mass="inertial" in body,
    )
    for member, at in welded:
        for child in member.get("bodies", ()):
            if child.get("joints"):
                yield from _parts(child, _placed(child, frames.compose(frame, at)))


def _welded(body: Body, frame: Frame) -> Iterator[tuple[Body, Frame]]:
    """`body` and all that hangs on it without a joint, with their frames."""
    yield body, frame
    for child in body.get("bodies", ()):
        if not child.get("joints"):
            yield from _welded(child, _placed(child, frame))


def _placed(entry: Body, parent: Frame) -> Frame:
    return frames.compose(
        parent,
        frames.frame(
            entry.get("pos", (0, 0, 0)),
            entry.get("quat", (1, 0, 0, 0)),
            entry.get("euler", (0, 0, 0)),
        ),
    )


def _box(geom: Body, parent: Frame) -> np.ndarray:
    at = _placed(geom, parent)
    return np.concatenate([at.position, at.quaternion, geom["size"]])


def _capsule(geom: Body, parent: Frame) -> np.ndarray:
    at = _placed(geom, parent)
    radius, half_length = geom["size"]
    reach = half_length * frames.matrix(at.quaternion)[:, 2]
    return np.concatenate([at.position - reach, at.position + reach, [radius]])


def _region(site: Body, parent: Frame) -> Region:
    at = _placed(site, parent)
    return Region(at.position, at.quaternion, np.asarray(site["size"]))


def _joint(body: Body) -> Joint | None:
    if not body.get("joints"):
        return None
    (joint,) = body["joints"]
    return Joint(
        joint["type"],
        tuple(joint["axis"]),
        tuple(joint["range"]),
        joint["damping"],
        tuple(joint["pos"]),
    )
