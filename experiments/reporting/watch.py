"""Writes episodes as one HTML page with a 3-D view, for a browser without a network.

Axes: T frames, N bodies, K observations, V camera views, S image side.
"""

import base64
import io
import json
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import jinja2
import numpy as np
from PIL import Image

from experiments.reporting.files import replacing
from omnivla_jax.render import types
from omnivla_jax.world.visual_scene import VisualScene

FOLDER = Path(__file__).parent
JAVASCRIPT = ("vectors", "shapes", "shaders", "view", "player")  # of watch_NAME.js
CAMERAS = ("agent view", "wrist view")
FPS = 20  # control steps a second
LOSSLESS_SIDE = 64  # pixels: larger pictures are stored as JPEG
STILL = 1e-4  # m, or of a quaternion: bodies that move less are stored once
REACH = 4.0  # m from the hand: bodies beyond are parked, and not drawn
INT16 = 32767


class EpisodeRecord(NamedTuple):
    """What is shown of one episode; frame 0 is before the first action."""

    title: str  # the instruction
    label: str  # a few words, such as the number of the episode
    outcome: str  # "success", "failure", "diverged", or "" where that is unknown
    success: int | None  # the frame at which the goal was reached
    position: np.ndarray  # float32 [T, N, 3]: bodies, m
    quaternion: np.ndarray  # float32 [T, N, 4], wxyz
    hand: np.ndarray  # float32 [T, 3]: the grip site, m
    decisions: Sequence[int]  # frames at which a chunk of actions began
    curves: dict[str, np.ndarray]  # by name, such as reward terms, [T] in [0, 1]
    pictures: np.ndarray | None = None  # uint8 [K, V, S, S, 3]
    picture_frames: Sequence[int] = ()  # [K]: when each was observed


def write(
    path: Path,
    visuals: VisualScene,
    episodes: Sequence[EpisodeRecord],
    *,
    title: str,
    pictures_title: str = "What the policy saw",
    note: str = "",
) -> None:
    """Write the page.

    Args:
      path: the HTML file, written whole or not at all.
      visuals: what the bodies look like; no cameras: there is only the free one.
      episodes: at least one, all of N bodies.
      title: of the browser's tab.
      pictures_title: a headline for the observed pictures.
      note: a sentence on where the episodes come from.

    Raises:
      ValueError: there are no episodes.
    """
    if not episodes:
        raise ValueError("There are no episodes to show.")
    data = {
        "fps": FPS,
        "scene": _scene(visuals, episodes[0].position.shape[1]),
        "episodes": [_episode(record) for record in episodes],
    }
    jinja = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    scripts = [(FOLDER / f"watch_{name}.js").read_text("utf-8") for name in JAVASCRIPT]
    page = jinja.from_string((FOLDER / "watch.html").read_text("utf-8")).render(
        title=title,
        pictures_title=pictures_title,
        note=note,
        cameras=CAMERAS[: len(visuals.cameras)],
        # An instruction that holds "</script>" must not end the element.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace(
            "<", "\\u003c"
        ),
        script="\n".join(scripts),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _scene(visuals: VisualScene, bodies: int) -> dict[str, Any]:
    """Shapes, the materials that they use, lights and cameras."""
    used = sorted({int(row) for group in visuals.shapes for row in group.material})
    columns = [np.asarray(column) for column in visuals.materials]
    rgb, rgb2, texture, scale, specular, shininess = [c[used] for c in columns]
    empty = np.zeros_like(scale)
    rows = np.stack(
        [*rgb.T, texture, *rgb2.T, scale, specular, shininess, empty, empty], axis=1
    )
    lights = visuals.lights._asdict()
    del lights["shadow"]  # the page always draws them
    cameras = {
        name: {
            "body": mount.body,
            "position": _rounded(mount.position),
            "quat": _rounded(mount.quaternion),
            "fovy": mount.fovy,
        }
        for name, mount in zip(CAMERAS, visuals.cameras)
    }
    return {
        "bodies": bodies,
        "shapes": _shapes(visuals.shapes, used),
        "materials": _rounded(rows),
        "lights": {name: _rounded(np.asarray(leaf)) for name, leaf in lights.items()},
        "cameras": cameras,
    }


def _shapes(shapes: types.Shapes, materials: list[int]) -> list[dict[str, Any]]:
    """A record for each primitive; its material is an index into `materials`."""
    records = []
    for kind, group in shapes._asdict().items():
        for row in range(len(group.body)):
            record = {
                "kind": kind,
                "size": _rounded(group.size[row]),
                "body": int(group.body[row]),
                "position": _rounded(group.position[row]),
                "quat": _rounded(_quaternion(group.rotation[row])),
                "material": materials.index(int(group.material[row])),
            }
            if kind == "polytope":
                faces = np.unique(np.round(group.planes[row], 5), axis=0)
                record["planes"] = _rounded(faces)
            records.append(record)
    return records


def _quaternion(matrix: np.ndarray) -> np.ndarray:
    """The quaternion wxyz [4] of a rotation matrix [3, 3].

    The dominant eigenvector of Bar-Itzhack's matrix, which no angle makes singular.
    """
    (a, b, c), (d, e, f), (g, h, i) = np.asarray(matrix, float)
    symmetric = [
        [a + e + i, h - f, c - g, d - b],
        [h - f, a - e - i, b + d, c + g],
        [c - g, b + d, e - a - i, f + h],
        [d - b, c + g, f + h, i - a - e],
    ]
    return np.linalg.eigh(symmetric)[1][:, -1]


def _episode(record: EpisodeRecord) -> dict[str, Any]:
    """The record as JSON: poses as 16-bit numbers, of moving bodies alone."""
    position, quaternion = record.position, record.quaternion
    near = np.linalg.norm(position[0] - record.hand[0], axis=-1) < REACH
    moves = np.ptp(position, axis=0).max(axis=-1) > STILL
    moves |= np.ptp(quaternion, axis=0).max(axis=-1) > STILL
    moving = np.flatnonzero(near & moves)
    origin, step = record.hand[0].astype(float), REACH / INT16
    poses = np.concatenate(
        [(position[:, moving] - origin) / step, quaternion[:, moving] * INT16], axis=-1
    )
    # What is thrown out of the hand's reach stops there.
    quantised = np.clip(np.round(poses), -INT16, INT16).astype("<i2")
    still = np.concatenate([position[0], quaternion[0]], axis=-1)
    return {
        "title": record.title,
        "label": record.label,
        "outcome": record.outcome,
        "success": record.success,
        "frames": len(position),
        "decisions": [int(frame) for frame in record.decisions],
        "curves": {name: _rounded(line) for name, line in record.curves.items()},
        "hand": _rounded(record.hand),
        "middle": _rounded(_middle(record.hand)),
        "still": [[int(b), _rounded(still[b])] for b in np.flatnonzero(near & ~moves)],
        "moving": moving.tolist(),
        "origin": _rounded(origin),
        "step": step,
        "poses": base64.b64encode(quantised.tobytes()).decode("ascii"),
        "pictures": _pictures(record),
    }


def _middle(hand: np.ndarray) -> np.ndarray:
    """Where to aim the free camera: the middle of the hand's way, a little lower."""
    low, high = hand.min(axis=0), hand.max(axis=0)
    return np.array([*(low + high)[:2] / 2 - [0.18, 0.0], 0.7 * low[2] + 0.3 * high[2]])


def _pictures(record: EpisodeRecord) -> dict[str, Any] | None:
    """All observed pictures in one, a row for each observation."""
    if record.pictures is None:
        return None
    count, views, size = record.pictures.shape[:3]
    rows = np.moveaxis(record.pictures, 1, 2)  # [K, S, V, S, 3]
    sheet = Image.fromarray(rows.reshape(count * size, views * size, 3))
    file, form = io.BytesIO(), "png" if size <= LOSSLESS_SIDE else "jpeg"
    sheet.save(file, form, quality=90)
    encoded = base64.b64encode(file.getvalue()).decode("ascii")
    return {
        "frames": [int(frame) for frame in record.picture_frames],
        "size": size,
        "views": views,
        "sheet": f"data:image/{form};base64,{encoded}",
    }


def _rounded(values: Any) -> Any:
    """Nested lists of numbers with five decimals: 0.01 mm."""
    return np.round(np.asarray(values, float), 5).tolist()
