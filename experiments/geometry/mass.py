"""Mass and inertia of a cloud of shapes, as MuJoCo sums them up.

Mass in kg, lengths in m, inertia in kg m^2, quaternions wxyz. Overlaps count twice and
duplicates count again, as they do in LIBERO.
"""

from typing import NamedTuple

import chex
import mujoco
import numpy as np

from experiments.geometry.recorded import Shapes

DENSITY = 100.0  # kg / m^3, of every collision geom in LIBERO


class Inertia(NamedTuple):
    """What a body weighs and how it resists turning."""

    mass: float
    center: np.ndarray  # [3]
    inertia: np.ndarray  # [3], principal
    quaternion: np.ndarray  # [4], of the principal axes


def inertia(shapes: Shapes, *, density: float = DENSITY) -> Inertia:
    """The inertia of a body made of `shapes`: boxes [N, 10] and capsules [M, 7]."""
    chex.assert_shape(shapes.boxes, (None, 10))
    chex.assert_shape(shapes.capsules, (None, 7))
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body()
    for row in shapes.boxes:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=row[:3],
            quat=row[3:7],
            size=row[7:],
            density=density,
        )
    for row in shapes.capsules:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=row[:6],
            size=[row[6], 0, 0],
            density=density,
        )
    model = spec.compile()
    return Inertia(
        float(model.body_mass[1]),
        model.body_ipos[1].copy(),
        model.body_inertia[1].copy(),
        model.body_iquat[1].copy(),
    )


def scaled(value: Inertia, mass: float) -> Inertia:
    """The same body, heavier or lighter all over, so that it weighs `mass`."""
    return value._replace(mass=mass, inertia=value.inertia * mass / value.mass)
