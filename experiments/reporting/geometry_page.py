"""Writes predicted against true geometry as one HTML page that needs no network.

Axes: N scenes, V camera views, S image side, P points.
"""

import base64
import io
import json
from pathlib import Path
from typing import Any, Mapping, NamedTuple

import jinja2
import numpy as np
from PIL import Image

from experiments.reporting.files import replacing
from omnivla_jax.core.types import Geometry

TEMPLATE = Path(__file__).with_name("geometry_page.html")
SCRIPT = Path(__file__).with_name("geometry_view.js")
VIEWS = ("agent's camera", "wrist camera")
COLUMNS = {
    "abs_rel": ("depth, relative error", "%.1f %%", 100),
    "delta_1.25": ("depth within a ratio of 1.25", "%.0f %%", 100),
    "normal_angle": ("normals, median", "%.1f°", 1),
    "camera_rotation": ("rotation between cameras", "%.1f°", 1),
    "camera_translation": ("translation between cameras", "%.1f cm", 100),
    "point_error": ("points", "%.1f cm", 100),
}
# Depth from near to far: yellow, teal, blue, black.
RAMP = np.array([(250, 231, 120), (63, 167, 140), (48, 82, 140), (16, 14, 36)], float)
# Relative error of depth from 0 to WORST: the page's ground, orange, white.
ERROR_RAMP = np.array([(24, 27, 34), (196, 78, 38), (255, 240, 214)], float)
WORST = 0.2
INT16 = 32767


class GeometryExample(NamedTuple):
    """Pictures of some scenes with their true and predicted geometry, aligned."""

    images: np.ndarray  # uint8 [N, V, S, S, 3]
    true: Geometry
    predicted: Geometry
    valid: np.ndarray  # bool [N, V, S, S]


def write(
    path: Path, summary: Mapping[str, Any], examples: Mapping[str, GeometryExample]
) -> None:
    """Write the page.

    Args:
      path: the HTML file, written whole or not at all.
      summary: {"scenes": count, "suites": {suite: {variant: {error: mean}}}}.
      examples: of each suite.
    """
    scenes = [
        _scene(example, number, suite)
        for suite, example in examples.items()
        for number in range(len(example.images))
    ]
    jinja = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = jinja.from_string(TEMPLATE.read_text("utf-8")).render(
        summary=summary,
        columns=COLUMNS,
        worst=_worst(summary),
        scenes=scenes,
        near_to_far=_gradient(RAMP),
        right_to_wrong=_gradient(ERROR_RAMP),
        largest_error=WORST,
        clouds=json.dumps([scene["clouds"] for scene in scenes]),
        script=SCRIPT.read_text("utf-8"),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _worst(summary: Mapping[str, Any]) -> dict[str, float]:
    """The largest value of each column, against which its cells are shaded."""
    rows = [row for variants in summary["suites"].values() for row in variants.values()]
    return {name: max(row[name] for row in rows) or 1.0 for name in COLUMNS}


def _gradient(ramp: np.ndarray) -> str:
    """CSS stops of a ramp."""
    return ", ".join(
        f"rgb({','.join(map(str, colour))})" for colour in ramp.astype(int)
    )


def _scene(example: GeometryExample, number: int, suite: str) -> dict[str, Any]:
    """The pictures and the two point clouds of one scene."""
    valid = example.valid[number]
    true, predicted = (
        Geometry(*(np.asarray(leaf[number], np.float32) for leaf in geometry))
        for geometry in (example.true, example.predicted)
    )
    depths = true.points[:, 2][valid]
    near, far = np.percentile(depths, (2, 98)) if depths.size else (0.0, 1.0)
    views = {}
    for view, image in enumerate(example.images[number]):
        seen = valid[view]
        depths_of, normals_of = (
            [getattr(geometry, name)[view] for geometry in (true, predicted)]
            for name in ("points", "normals")
        )
        error = np.abs(depths_of[1][2] / np.maximum(depths_of[0][2], 1e-6) - 1)
        shown = {
            "picture": image,
            "true depth": depth_picture(depths_of[0][2], seen, near, far),
            "predicted depth": depth_picture(depths_of[1][2], seen, near, far),
            "error of depth": ramp_picture(error / WORST, seen, ERROR_RAMP),
            "true normals": normal_picture(normals_of[0], seen),
            "predicted normals": normal_picture(normals_of[1], seen),
        }
        name = VIEWS[view] if view < len(VIEWS) else f"view {view + 1}"
        views[name] = {name: _png(picture) for name, picture in shown.items()}
    colours = example.images[number][valid]
    return {
        "title": f"{suite}, scene {number + 1}",
        "views": views,
        "clouds": [
            point_cloud(geometry, valid, colours) for geometry in (true, predicted)
        ],
    }


def depth_picture(
    depth: np.ndarray, valid: np.ndarray, near: float, far: float
) -> np.ndarray:
    """Colours of depths, black without a hit.

    Args:
      depth: [S, S].
      valid: bool [S, S].
      near, far: depths at the two ends of the ramp.

    Returns:
      uint8 [S, S, 3].
    """
    return ramp_picture((depth - near) / max(far - near, 1e-6), valid, RAMP)


def ramp_picture(share: np.ndarray, valid: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    """Colours of numbers along a ramp, black where nothing is hit.

    Args:
      share: [S, S], 0 at the ramp's first colour, 1 at its last.
      valid: bool [S, S].
      ramp: float [colours, 3].

    Returns:
      uint8 [S, S, 3].
    """
    place = np.clip(share, 0, 1) * (len(ramp) - 1)
    channels = [np.interp(place, range(len(ramp)), column) for column in ramp.T]
    return (np.stack(channels, -1) * valid[..., None]).astype(np.uint8)


def normal_picture(normals: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Colours of unit normals [3, S, S]: red right, green up, blue to the camera."""
    red, green, blue = normals * np.array([1, -1, -1])[:, None, None]
    colours = 127.5 * (1 + np.stack([red, green, blue], -1))
    return (np.clip(colours, 0, 255) * valid[..., None]).astype(np.uint8)


def point_cloud(
    geometry: Geometry, valid: np.ndarray, colours: np.ndarray
) -> dict[str, Any]:
    """All views' points in the first camera's frame, as texts for the page.

    Args:
      geometry: of one scene; its common frame is the first camera's.
      valid: bool [V, S, S].
      colours: uint8 [P, 3], of the valid pixels.

    Returns:
      int16 coordinates and uint8 colours in base64, the scale of the former, and the
      cameras' axes and places.
    """
    points = np.einsum("vij,vjrc->vrci", geometry.rotation, geometry.points)
    points = (points + geometry.translation[:, None, None])[valid]
    reach = max(float(np.abs(points).max(initial=0.0)), 1e-6)
    quantised = np.round(points / reach * INT16).astype("<i2")
    return {
        "points": base64.b64encode(quantised.tobytes()).decode("ascii"),
        "colours": base64.b64encode(colours.tobytes()).decode("ascii"),
        "scale": reach / INT16,
        "cameras": [
            {"axes": turn.round(5).tolist(), "place": place.round(5).tolist()}
            for turn, place in zip(geometry.rotation, geometry.translation)
        ],
    }


def _png(picture: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/png;base64,{text}"
