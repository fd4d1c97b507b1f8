"""The values the renderer takes and returns: shapes, materials, lights, cameras.

Axes: n primitives of one kind, m materials, L lights, S image side. Lengths in metres,
quaternions wxyz, sizes by MuJoCo's conventions.
"""

from typing import Any, NamedTuple, Sequence, TypeAlias

import numpy as np

Array: TypeAlias = Any  # a jax or a numpy array

TEXTURES = (
    *("plain", "checker", "wood", "marble", "tile", "label", "cloth", "print"),
    *("fruit", "weave", "stripes", "speckle", "rim", "coil", "glaze", "dipped"),
    *("brick", "twill", "pebble"),
)
OUTPUTS = ("rgb", "depth", "normal", "point", "segmentation")
SIZES = {  # by kind, m
    "plane": 2,  # half sides, 0 = infinite
    "box": 3,  # half sides
    "sphere": 1,  # radius
    "capsule": 2,  # radius, half length of the axis
    "cylinder": 2,  # radius, half length
    "ellipsoid": 3,  # semi-axes
    "cone": 3,  # radius below, radius above, half length: a frustum
    "cup": 3,  # the same, open above and hollow; see `CUP_WALL`
    "polytope": 3,  # half sides of a box that holds it
}
KINDS = tuple(SIZES)  # the order of `intersect.PosedPrimitives`
CUP_WALL = 0.06  # thickness of a cup's wall and bottom, as a share of its upper radius
IndexRange: TypeAlias = tuple[int, int]  # the first index and the one past the last
KindRanges: TypeAlias = dict[str, IndexRange]  # of the primitives of a kind


class RenderPrimitive(NamedTuple):
    """One shape, fixed to a body. `geom` is its id in the segmentation."""

    kind: str  # one of KINDS
    size: Sequence[float]  # see SIZES
    body: int = 0
    position: Sequence[float] = (0.0, 0.0, 0.0)  # in the frame of the body
    quat: Sequence[float] = (1.0, 0.0, 0.0, 0.0)
    material: int = 0
    geom: int | None = None  # default: the index in the list
    planes: Sequence[Sequence[float]] = ()  # polytope: rows n, d; inside n . x <= d


class PrimitiveGroup(NamedTuple):
    """All primitives of one kind."""

    size: Array  # float32 [n, 3]; unused entries 0, a sphere's radius thrice
    body: Array  # int32 [n]
    position: Array  # float32 [n, 3]
    rotation: Array  # float32 [n, 3, 3]: columns are the local axes, body frame
    material: Array  # int32 [n]
    geom: Array  # int32 [n]
    planes: Array  # float32 [n, F, 4]; F = 0 but for polytopes


class Shapes(NamedTuple):
    """All visible primitives; a group may be empty."""

    plane: PrimitiveGroup
    box: PrimitiveGroup
    sphere: PrimitiveGroup
    capsule: PrimitiveGroup
    cylinder: PrimitiveGroup
    ellipsoid: PrimitiveGroup
    cone: PrimitiveGroup
    cup: PrimitiveGroup
    polytope: PrimitiveGroup


class Material(NamedTuple):
    """One row of `Materials`."""

    rgb: Sequence[float]  # in [0, 1]
    rgb2: Sequence[float] | None = None  # the texture's second colour; default rgb
    texture: str = "plain"  # one of TEXTURES
    scale: float = 0.1  # metres per repetition; label: half height of the band
    specular: float = 0.2
    shininess: float = 0.5  # in [0, 1], times 128 is the exponent, as in MuJoCo


class Materials(NamedTuple):
    """Surface properties; arrays, so that changing them compiles nothing."""

    rgb: Array  # float32 [m, 3]
    rgb2: Array  # float32 [m, 3]
    texture: Array  # int32 [m]: index into TEXTURES
    scale: Array  # float32 [m]
    specular: Array  # float32 [m]
    shininess: Array  # float32 [m]


class Lights(NamedTuple):
    """Ambient light, a lamp on the camera, L lamps; the first may cast shadows."""

    ambient: Array  # float32 [3]
    headlight: Array  # float32 [3]
    sky: Array  # float32 [3]: colour where no shape is hit
    position: Array  # float32 [L, 3]: unused by a directional light
    direction: Array  # float32 [L, 3]: of the light; unused by a positional one
    directional: Array  # bool [L]
    diffuse: Array  # float32 [L, 3]
    specular: Array  # float32 [L, 3]
    # bool []: whether the first lamp casts shadows; None: as `render.render` is told
    shadow: Array | None = None


# Of a bright room: soft ambient, a weak headlight, two lamps from above.
DEFAULT_LIGHTS = Lights(
    ambient=np.full(3, 0.36, np.float32),
    headlight=np.full(3, 0.27, np.float32),
    sky=np.array([0.72, 0.78, 0.84], np.float32),
    position=np.array([[1.0, 1.0, 4.0], [-3.0, -3.0, 4.0]], np.float32),
    direction=np.array([[0.0, -0.15, -1.0], [0.0, -0.15, -1.0]], np.float32),
    directional=np.zeros(2, bool),
    diffuse=np.array([[0.46, 0.44, 0.40], [0.12, 0.13, 0.15]], np.float32),
    specular=np.full((2, 3), 0.3, np.float32),
)


class Camera(NamedTuple):
    """A pinhole camera looking along its -z, +y up, as MuJoCo's."""

    position: Array  # float32 [3]
    rotation: Array  # float32 [3, 3]: columns are its right, up and back axes
    fovy: Array  # float32 []: vertical field of view, degrees


class Image(NamedTuple):
    """The requested outputs, row 0 on top; None for the others."""

    rgb: Any = None  # uint8 [S, S, 3]
    depth: Any = None  # float32 [S, S]: m along the viewing axis; 0 without a hit
    normal: Any = None  # float32 [S, S, 3]: unit, world frame; 0 without a hit
    point: Any = None  # float32 [S, S, 3]: world frame, m; 0 without a hit
    segmentation: Any = None  # int32 [S, S]: geom id; -1 without a hit


def make_shapes(primitives: Sequence[RenderPrimitive]) -> Shapes:
    """Sort primitives into groups by kind.

    Raises:
      ValueError: an unknown kind, a bad size, quaternion, index or number of planes.
    """
    groups: dict[str, list[tuple[int, RenderPrimitive]]] = {kind: [] for kind in KINDS}
    for index, primitive in enumerate(primitives):
        _check_primitive(index, primitive)
        groups[primitive.kind].append((index, primitive))
    return Shapes(**{kind: _group(kind, rows) for kind, rows in groups.items()})


def make_materials(rows: Sequence[Material]) -> Materials:
    """Stack materials into arrays.

    Raises:
      ValueError: an unknown texture.
    """
    for index, row in enumerate(rows):
        if row.texture not in TEXTURES:
            raise ValueError(
                f"Material {index} has texture {row.texture!r}: choose from {TEXTURES}."
            )
    return Materials(
        rgb=np.array([row.rgb for row in rows], np.float32).reshape(-1, 3),
        rgb2=np.array(
            [row.rgb if row.rgb2 is None else row.rgb2 for row in rows], np.float32
        ).reshape(-1, 3),
        texture=np.array([TEXTURES.index(row.texture) for row in rows], np.int32),
        scale=np.array([row.scale for row in rows], np.float32),
        specular=np.array([row.specular for row in rows], np.float32),
        shininess=np.array([row.shininess for row in rows], np.float32),
    )


def _check_primitive(index: int, primitive: RenderPrimitive) -> None:
    kind = primitive.kind
    if kind not in KINDS:
        raise ValueError(f"Primitive {index} is a {kind!r}: choose from {KINDS}.")
    size, least = np.asarray(primitive.size, float), SIZES[kind]
    used = size[:least]
    allowed = used >= 0 if kind == "plane" else used > 0
    if not least <= size.size <= 3 or not allowed.all():
        raise ValueError(
            f"Primitive {index}, a {kind}, has size {list(primitive.size)}: give "
            f"{least} to 3 lengths, the first {least} positive (0 = infinite: planes)."
        )
    if (len(primitive.planes) > 3) != (kind == "polytope"):
        raise ValueError(
            f"Primitive {index}, a {kind}, has {len(primitive.planes)} planes: give a "
            "polytope at least 4, and other kinds none."
        )
    norm = float(np.linalg.norm(primitive.quat))
    if len(primitive.quat) != 4 or abs(norm - 1) > 1e-2:
        raise ValueError(
            f"Primitive {index} has quaternion {list(primitive.quat)} of norm "
            f"{norm:.4f}: give a unit wxyz quaternion."
        )
    for name in ("body", "material"):
        if getattr(primitive, name) < 0:
            value = getattr(primitive, name)
            raise ValueError(f"Primitive {index} has {name} {value}: give an index.")


def _group(kind: str, rows: Sequence[tuple[int, RenderPrimitive]]) -> PrimitiveGroup:
    count = len(rows)
    size = np.zeros((count, 3), np.float32)
    for row, (_, primitive) in enumerate(rows):
        used = np.asarray(primitive.size, np.float32)[: SIZES[kind]]
        size[row, : SIZES[kind]] = used
        if kind == "sphere":
            size[row] = used[0]
    quats = np.array([p.quat for _, p in rows], np.float32).reshape(-1, 4)
    geoms = [index if p.geom is None else p.geom for index, p in rows]
    return PrimitiveGroup(
        size=size,
        body=np.array([p.body for _, p in rows], np.int32),
        position=np.array([p.position for _, p in rows], np.float32).reshape(-1, 3),
        rotation=_rotations(quats),
        material=np.array([p.material for _, p in rows], np.int32),
        geom=np.array(geoms, np.int32),
        planes=_planes([p.planes for _, p in rows]),
    )


def _planes(rows: Sequence[Sequence[Sequence[float]]]) -> np.ndarray:
    """[n, F, 4] of unit normals; a short list repeats its first plane."""
    faces = max(map(len, rows), default=0)
    planes = np.zeros((len(rows), faces, 4), np.float32)
    for row, listed in zip(planes, rows if faces else ()):
        table = np.reshape(listed, (len(listed), 4))
        row[:], row[: len(listed)] = table[0], table
        row /= np.linalg.norm(row[:, :3], axis=1, keepdims=True)
    return planes


def _rotations(quats: np.ndarray) -> np.ndarray:
    """Rotation matrices [n, 3, 3] of quaternions wxyz [n, 4]."""
    w, x, y, z = (quats / np.linalg.norm(quats, axis=-1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows, np.float32), -1, 0)
