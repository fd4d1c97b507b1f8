"""Reads the JSON record of a category and checks it.

A file maps names to records; only `parts` with their shapes are required:

    {"tea_box": {
      "parts": [{
        "boxes": [[0, 0, 0, 0.03, 0.02, 0.04]],
        "visual": {"shapes": [
          {"shape": "box", "low": [-0.03, -0.02, -0.04], "high": [0.03, 0.02, 0.02],
           "material": "paper"}]}}],
      "materials": {"paper": {"rgb": "#2f7d34"}}}}

Keys of a record:
  parts: the bodies; the first, called "", is the root, further ones have joints.
  fixture: whether it is welded to the world where it is placed; default false.
  materials: {name: {rgb, rgb2, texture, scale, specular, shininess}}, see `Material`;
    colours are [r, g, b] in [0, 1] or "#rrggbb".
  mass, center, inertia, inertia_quaternion: of a free root; default: that of its
    collision shapes at LIBERO's 100 kg/m^3, scaled to `mass` if that is given.
  bottom, top: z on which it stands and on which others stand, turned by
    `init_rotation`; default: the ends of the collision shapes.
  radius: of the circle that the sampler keeps free; default: that of the shapes.
  init_rotation: {quaternion, yaw: [low, high]}, how the sampler turns it.
  articulation: {open, close, turnon, turnoff: [low, high]}, of the joints.
  grasp_like: the category whose grasp the scripted expert uses; default: its own name.
  grip: {kind: "across", position, axis, round}, {kind: "rim", radius, height} or {kind:
    "wall", center, radius, side, height}; default: that of `grasp_like`.
Keys of a part:
  name, position, quaternion: of the body in the root's frame.
  joint: {kind: "slide" or "hinge", axis, range, damping}; null for the root.
  mass, center, inertia, inertia_quaternion: of a part with a joint.
  boxes: rows [x, y, z, (qw, qx, qy, qz,) half x, half y, half z] that collide.
  capsules: rows [x0, y0, z0, x1, y1, z1, radius] that collide.
  regions: {name: {position, half_size, quaternion}}, the sites of goals.
  visual: {shapes: [...], collision: [material, ...]}: shapes that are drawn, and the
    materials in which the collision shapes are drawn, too (null: not drawn; the last
    one repeats). Default: the collision shapes in the first material.
Shapes, each with a material: box (low, high; or position, half_size, quaternion),
  capsule and cylinder (start, end, radius), cone and cup (start, end, radii),
  ellipsoid (position, semi_axes), polytope (vertices).
Lengths in m, mass in kg, inertia in kg m^2, angles in rad, quaternions wxyz.
"""

from typing import Any, Callable, Mapping, Sequence

import mujoco
import numpy as np

from omnivla_jax.sim.assets import primitives
from omnivla_jax.sim.assets.category import (
    PLAIN,
    UPRIGHT,
    AcrossGrip,
    Articulation,
    Category,
    Grip,
    Inertia,
    InitRotation,
    Joint,
    Material,
    Part,
    Region,
    RimGrip,
    Vector,
    WallGrip,
)
from omnivla_jax.sim.assets.json_fields import Field
from omnivla_jax.sim.assets.primitives import Primitive

DENSITY = 100.0  # kg/m^3, of LIBERO's objects
TEXTURES = (
    "plain", "checker", "wood", "marble", "tile", "label", "cloth", "print", "fruit",
    "weave", "stripes", "speckle", "rim", "coil", "glaze", "dipped", "brick", "twill",
    "pebble",
)  # of the renderer  # fmt: skip
_INERTIA = ("mass", "center", "inertia", "inertia_quaternion")
_RECORD = ("parts", "fixture", "materials", *_INERTIA, "bottom", "top", "radius",
           "init_rotation", "articulation", "grasp_like", "grip")  # fmt: skip
_PART = ("name", "position", "quaternion", "joint", *_INERTIA, "boxes", "capsules",
         "regions", "visual")  # fmt: skip
_ORIGIN: Vector = (0.0, 0.0, 0.0)
_NONE: list[Field] = []


def parse(
    name: str, value: Any, source: str, *, shared: Sequence[str] = (), prefix: str = ""
) -> tuple[Category, dict[str, Material]]:
    """Read a category and its materials from a record.

    Args:
      name: of the category.
      value: the JSON value; the module's docstring lists its keys.
      source: the file, for errors.
      shared: materials of other records, which this one may name.
      prefix: stands before the names of its own materials.

    Returns:
      The category, and its own materials by name.

    Raises:
      CategoryError: naming file, key and remedy in one line.
    """
    record = Field(value, source, repr(name))
    record.check_keys(_RECORD)
    fields = record.get("materials", Field.entries, dict[str, Field]())
    materials = {f"{prefix}{key}": _material(field) for key, field in fields.items()}
    names = {key: f"{prefix}{key}" for key in fields}  # the first is the default
    names |= {key: key for key in (PLAIN, *shared) if key not in names}
    fixture = record.get("fixture", Field.flag, False)
    bodies = record.get("parts", Field.items)
    if not bodies or (len(bodies) > 1 and not fixture):
        record.fail("it takes a part; more than one only where fixture is true.")
    parts = tuple(
        _part(name, body, names, body if index else record, index > 0, fixture)
        for index, body in enumerate(bodies)
    )
    init_rotation = record.get("init_rotation", _init_rotation, InitRotation())
    corners = primitives.corners(parts[0].collision, init_rotation.quaternion)
    reach = float(np.linalg.norm(corners[:, :2], axis=-1).max())
    category = Category(
        fixture=fixture,
        parts=parts,
        bottom=record.get("bottom", Field.number, float(corners[:, 2].min())),
        top=record.get("top", Field.number, float(corners[:, 2].max())),
        radius=record.get("radius", Field.positive, reach),
        grasp_like=record.get("grasp_like", Field.text, name),
        init_rotation=init_rotation,
        articulation=record.get("articulation", _articulation, None),
        pinned=fixture and "bottom" not in record.value,
        grip=record.get("grip", _grip, None),
    )
    return category, materials


def _material(field: Field) -> Material:
    field.check_keys(Material._fields)
    default = Material((0.0, 0.0, 0.0))
    return Material(
        rgb=field.get("rgb", Field.color),
        rgb2=field.get("rgb2", Field.color, None),
        texture=field.get("texture", lambda f: f.text(TEXTURES), default.texture),
        scale=field.get("scale", Field.positive, default.scale),
        specular=field.get("specular", Field.share, default.specular),
        shininess=field.get("shininess", Field.share, default.shininess),
    )


def _init_rotation(field: Field) -> InitRotation:
    field.check_keys(InitRotation._fields)
    quaternion = field.get("quaternion", Field.quaternion, UPRIGHT)
    return InitRotation(quaternion, field.get("yaw", Field.range, InitRotation().yaw))


def _articulation(field: Field) -> Articulation | None:
    field.check_keys(Articulation._fields)
    return Articulation(**{key: f.range() for key, f in field.entries().items()})


def _grip(field: Field) -> Grip | None:
    kind = field.get("kind", lambda f: f.text(("across", "rim", "wall")))
    if kind == "across":
        field.check_keys(("kind", *AcrossGrip._fields))
        return AcrossGrip(
            field.get("position", Field.vector),
            field.get("axis", lambda f: f.text(("x", "y")), "x"),
            field.get("round", Field.flag, False),
        )
    shape: type[RimGrip] | type[WallGrip] = RimGrip if kind == "rim" else WallGrip
    field.check_keys(("kind", *shape._fields))
    return shape(*(field.get(name, Field.number) for name in shape._fields))


def _joint(field: Field) -> Joint | None:
    if field.value is None:
        return None
    field.check_keys(Joint._fields)
    return Joint(
        kind=field.get("kind", lambda f: f.text(("slide", "hinge"))),
        axis=field.get("axis", Field.vector),
        range=field.get("range", Field.range),
        damping=field.get("damping", lambda f: f.numbers((1,), 0.0, 1e3)[0]),
    )


def _region(field: Field) -> Region:
    field.check_keys(Region._fields)
    return Region(
        field.get("position", Field.vector),
        field.get("half_size", Field.size),
        field.get("quaternion", Field.quaternion, UPRIGHT),
    )


def _part(
    category: str,
    field: Field,
    materials: Mapping[str, str],
    weight: Field,
    moving: bool,
    fixture: bool,
) -> Part:
    """Read one body, whose inertia stands in `weight`: for the root in the record."""
    field.check_keys(_PART)
    name, joint = field.get("name", Field.text, ""), field.get("joint", _joint, None)
    if bool(name) != moving or (joint is not None) != moving:
        field.fail("the first part has no name and no joint, all others have both.")
    collision = [_box(row, category) for row in field.get("boxes", Field.items, _NONE)]
    for row in field.get("capsules", Field.items, _NONE):
        ends = row.numbers((7,))
        collision.append(primitives.capsule(ends[:3], ends[3:6], ends[6], category))
    if not collision:
        field.fail("no boxes or capsules: a part collides.")
    regions = field.get("regions", Field.entries, dict[str, Field]())
    first = next(iter(materials.values()))
    drawn = [shape._replace(material=first) for shape in collision]
    return Part(
        name=name,
        collision=tuple(collision),
        visual=tuple(
            field.get("visual", lambda f: _visual(f, collision, materials), drawn)
        ),
        regions={key: _region(region) for key, region in regions.items()},
        joint=joint,
        inertia=_inertia(weight, collision) if moving or not fixture else None,
        position=field.get("position", Field.vector, _ORIGIN),
        quaternion=field.get("quaternion", Field.quaternion, UPRIGHT),
    )


def _box(row: Field, category: str) -> Primitive:
    """A collision box of 6 or 10 numbers: center, quaternion, half sizes."""
    values = row.numbers((6, 10))
    if min(values[-3:]) <= 0:
        row.fail(f"half sizes {list(values[-3:])}: they are above 0.")
    turn = values[3:7] if len(values) == 10 else UPRIGHT
    return primitives.box(values[:3], values[-3:], category, turn)


def _inertia(field: Field, collision: Sequence[Primitive]) -> Inertia:
    """The stated inertia, or that of the collision shapes with the stated mass."""
    stated = [key for key in _INERTIA if key in field.value]
    if len(stated) == len(_INERTIA):
        return Inertia(
            field.get("mass", Field.positive),
            field.get("center", Field.vector),
            field.get("inertia", Field.size),
            field.get("inertia_quaternion", Field.quaternion),
        )
    if stated not in ([], ["mass"]):
        field.fail(f"it takes mass alone, or all of {', '.join(_INERTIA)}.")
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body()
    body.add_freejoint()
    for shape in collision:
        geom = primitives.add_primitive(body, shape, collides="object", visible=False)
        geom.density = DENSITY
    model = spec.compile()
    weight = float(model.body_mass[1])
    mass = field.get("mass", Field.positive, weight)
    (x, y, z), (w, i, j, k) = model.body_ipos[1].tolist(), model.body_iquat[1].tolist()
    a, b, c = (model.body_inertia[1] * (mass / weight)).tolist()
    return Inertia(mass, (x, y, z), (a, b, c), (w, i, j, k))


def _visual(
    field: Field, collision: Sequence[Primitive], materials: Mapping[str, str]
) -> list[Primitive]:
    """The shapes that draw a part: collision shapes in materials, and further ones."""
    field.check_keys(("collision", "shapes"))
    names = [
        None if row.value is None else materials[row.text(materials)]
        for row in field.get("collision", Field.items, _NONE)
    ]
    drawn = []
    for index, shape in enumerate(collision if names else ()):
        material = names[min(index, len(names) - 1)]
        if material is not None:
            drawn.append(shape._replace(material=material))
    drawn += [_shape(row, materials) for row in field.get("shapes", Field.items, _NONE)]
    if not drawn:
        field.fail("it draws nothing: it takes shapes, collision or both.")
    return drawn


def _vertices(field: Field) -> list[Vector]:
    corners = [corner.vector() for corner in field.items()]
    if len(corners) < 4:
        field.fail("a polytope has at least 4 vertices.")
    return corners


_AXIS: dict[str, Callable[[Field], Any]] = {"start": Field.vector, "end": Field.vector}
_ROUND = _AXIS | {"radius": Field.positive}
_TAPERED = _AXIS | {"radii": lambda field: field.numbers((2,), 1e-4)}
_PLACED: dict[str, Callable[[Field], Any]] = {"position": Field.vector}
# The functions that make each kind of shape, and how their arguments are read.
_SHAPES: dict[str, list[tuple[Callable[..., Primitive], Mapping[str, Any]]]] = {
    "box": [
        (primitives.box, _PLACED | {"half_size": Field.size}),
        (
            primitives.box,
            _PLACED | {"half_size": Field.size, "quaternion": Field.quaternion},
        ),
        (primitives.box_between, {"low": Field.vector, "high": Field.vector}),
    ],
    "capsule": [(primitives.capsule, _ROUND)],
    "cylinder": [(primitives.cylinder, _ROUND)],
    "cone": [(primitives.cone, _TAPERED)],
    "cup": [(primitives.cup, _TAPERED)],
    "ellipsoid": [(primitives.ellipsoid, _PLACED | {"semi_axes": Field.size})],
    "polytope": [(primitives.polytope, {"vertices": _vertices})],
}


def _shape(field: Field, materials: Mapping[str, str]) -> Primitive:
    field.check_keys()
    kind = field.get("shape", lambda f: f.text(_SHAPES))
    material = materials[field.get("material", lambda f: f.text(materials))]
    for make, keys in _SHAPES[kind]:
        if set(field.value) == {"shape", "material", *keys}:
            values = {key: field.get(key, read) for key, read in keys.items()}
            return make(**values, material=material)
    takes = " or ".join(", ".join(keys) for _, keys in _SHAPES[kind])
    field.fail(f"a {kind} takes {takes}; it has {', '.join(field.value)}.")
