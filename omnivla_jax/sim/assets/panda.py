"""The Franka Panda and its parallel gripper, as tables and as MjSpec bodies.

Frames, inertias, joints and actuators are robosuite 1.4's (MIT). What collides are
boxes fitted to the convex hulls of its meshes: forearm, wrist, hand and fingers. Link 7
does not collide there either; left out are links 0 to 4, which are above and behind
what stands in LIBERO's scenes, and the arm with itself. Lengths in m, quaternions wxyz,
joint ranges in rad or m.
"""

from typing import NamedTuple

import mujoco
import numpy as np

from omnivla_jax.sim.assets.primitives import (
    Primitive,
    add_primitive,
    box,
    capsule,
    cone,
    cylinder,
    polytope,
)


class Link(NamedTuple):
    """One arm link: its frame in the parent, its inertia and its hinge."""

    name: str
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]
    mass: float
    center: tuple[float, float, float]
    inertia: float  # isotropic
    joint_range: tuple[float, float] | None


_TURN_BACK = (0.7071067811865476, -0.7071067811865476, 0.0, 0.0)
_TURN = (0.7071067811865476, 0.7071067811865476, 0.0, 0.0)
_UPRIGHT = (1.0, 0.0, 0.0, 0.0)

LINKS = (
    Link("link0", (0, 0, 0), _UPRIGHT, 4.0, (0, 0, 0.05), 0.4, None),
    Link("link1", (0, 0, 0.333), _UPRIGHT, 3.0, (0, 0, -0.07), 0.3, (-2.8973, 2.8973)),
    Link("link2", (0, 0, 0), _TURN_BACK, 3.0, (0, -0.1, 0), 0.3, (-1.7628, 1.7628)),
    Link("link3", (0, -0.316, 0), _TURN, 2.0, (0.04, 0, -0.05), 0.2, (-2.8973, 2.8973)),
    Link(
        "link4", (0.0825, 0, 0), _TURN, 2.0, (-0.04, 0.05, 0), 0.2, (-3.0718, -0.0698)
    ),
    Link(
        "link5",
        (-0.0825, 0.384, 0),
        _TURN_BACK,
        2.0,
        (0, 0, -0.15),
        0.2,
        (-2.8973, 2.8973),
    ),
    Link("link6", (0, 0, 0), _TURN, 1.5, (0.06, 0, 0), 0.1, (-0.0175, 3.7525)),
    Link("link7", (0.088, 0, 0), _TURN, 0.5, (0, 0, 0.08), 0.05, (-2.8973, 2.8973)),
)
NUM_JOINTS = 7
ARMATURE = 5.0 / np.arange(1, NUM_JOINTS + 1)
FRICTIONLOSS = 0.1
DAMPING = np.array([0.1] * 5 + [0.01] * 2)
TORQUE_LIMIT = np.array([80.0] * 5 + [12.0] * 2)
HOME = np.array(
    [0, -0.161037389, 0, -2.44459747, 0, 2.22675220, 0.7853981633974483]
)  # robosuite's init_qpos: the pose after env.reset() and the null-space reference
FINGERS_AT_RESET = np.array([0.020833, -0.020833])
FINGER_TRAVEL = 0.04
EEF_BODY = "eef"  # its origin is robosuite's grip_site

_WHITE, _GREY, _DARK = "robot_white", "robot_grey", "robot_dark"
VISUALS: dict[str, tuple[Primitive, ...]] = {
    "link0": (
        cylinder((-0.03, 0, 0.0), (-0.03, 0, 0.012), 0.105, _DARK),
        capsule((-0.075, 0, 0.06), (0, 0, 0.06), 0.065, _WHITE),
        cone((0, 0, 0.02), (0, 0, 0.14), (0.088, 0.066), _WHITE),
        cylinder((0, 0, 0.138), (0, 0, 0.146), 0.0635, _GREY),
    ),
    "link1": (
        cylinder((0, 0, -0.19), (0, 0, -0.06), 0.0625, _WHITE),
        capsule((0, -0.02, -0.07), (0, 0, 0.0), 0.062, _WHITE),
        cylinder((0, 0.06, 0), (0, 0.071, 0), 0.052, _GREY),
    ),
    "link2": (
        capsule((0, 0, -0.035), (0, 0, 0.035), 0.061, _WHITE),
        cylinder((0, -0.14, 0.0), (0, -0.02, 0.0), 0.0605, _WHITE),
        cylinder((0, -0.149, 0.0), (0, -0.14, 0.0), 0.058, _GREY),
    ),
    "link3": (
        cylinder((0, 0, -0.167), (0, 0, -0.075), 0.0595, _WHITE),
        capsule((0.0, 0, -0.08), (0.0825, 0, 0), 0.0575, _WHITE),
        cylinder((0.0825, -0.064, 0), (0.0825, 0.064, 0), 0.05, _GREY),
    ),
    "link4": (
        capsule((0, 0, -0.03), (0, 0, 0.03), 0.0585, _WHITE),
        capsule((0, 0, 0), (-0.0825, 0.075, 0), 0.0565, _WHITE),
        cylinder((-0.0825, 0.07, 0), (-0.0825, 0.122, 0), 0.0565, _WHITE),
        cylinder((-0.0825, 0.12, 0), (-0.0825, 0.128, 0), 0.054, _GREY),
    ),
    "link5": (
        capsule((0, 0, -0.25), (0, 0.0, -0.2), 0.056, _WHITE),
        cone((0, 0.01, -0.21), (0, 0.06, -0.09), (0.054, 0.04), _WHITE),
        capsule((0, 0.06, -0.09), (0, 0.052, 0.0), 0.04, _WHITE),
    ),
    "link6": (
        capsule((0, 0, -0.05), (0, 0, 0.01), 0.05, _WHITE),
        cylinder((0, 0, 0.052), (0, 0, 0.064), 0.042, _GREY),
        capsule((0.0, 0, 0), (0.088, 0.0, 0), 0.047, _WHITE),
        cylinder((0.088, -0.02, 0), (0.088, 0.06, 0), 0.046, _WHITE),
    ),
    "link7": (
        cylinder((0, 0, 0.058), (0, 0, 0.085), 0.044, _GREY),
        cylinder((0, 0, 0.085), (0, 0, 0.107), 0.0335, _DARK),
    ),
}
# Slimmer below, as the real hand tapers: the wrist camera sees past it.
_HAND_VISUAL = (
    polytope(
        [
            (x, y, z)
            for x in (-0.1, 0.1)
            for y, z in (
                (-0.03, -0.016),
                (0.03, -0.016),
                (-0.03, 0.026),
                (0.03, 0.026),
                (-0.014, 0.064),
                (0.014, 0.064),
            )
        ],
        _WHITE,
    ),
    box((0, 0, -0.022), (0.07, 0.024, 0.006), _GREY),
)
# Least-squares fits: surfaces deviate by a median of 4 mm, by 13 mm at 95 %.
_LINK_COLLISION: dict[str, tuple[Primitive, ...]] = {
    "link5": (
        box(
            (0.0, 0.0388, -0.1098),
            (0.0473, 0.0574, 0.1542),
            quaternion=(0.99223, -0.12438, 0.0, 0.0),
        ),
    ),
    "link6": (
        box((0.0120, 0.0010, 0.0140), (0.0500, 0.0440, 0.0370)),
        box((0.0740, 0.0110, 0.0020), (0.0500, 0.0620, 0.0390)),
    ),
}
# robosuite's hand collides as the convex hull of a mesh that tapers towards the
# fingers: three slices of it. One box reaches 15 mm too far beside the fingers.
_HAND_COLLISION = (
    box((0.0, 0, 0.0555), (0.1005, 0.0190, 0.0105)),
    box((0.002, 0, 0.0300), (0.1010, 0.0255, 0.0150)),
    box((0.006, 0, -0.0015), (0.0970, 0.0305, 0.0165)),
)


def _finger_shapes(side: float) -> tuple[Primitive, ...]:
    """Two boxes of a finger and, last, the pad of its tip; `side` is 1 or -1."""
    return (
        box((0, side * 0.0071, 0.0423), (0.0088, 0.0072, 0.0115), _DARK),
        box((0, side * 0.0147, 0.0155), (0.0105, 0.0115, 0.0154), _DARK),
        box((0, side * -0.005, -0.015), (0.008, 0.004, 0.008), _GREY),
    )


def shapes() -> tuple[Primitive, ...]:
    """Everything that is drawn of the robot."""
    fingers = (*_finger_shapes(1.0), *_finger_shapes(-1.0))
    arm = [shape for row in VISUALS.values() for shape in row]
    return (*arm, *_HAND_VISUAL, *fingers)


def add_panda(spec: mujoco.MjSpec, position: tuple[float, float, float]) -> None:
    """Add arm, hand and fingers with the base at `position`, and their actuators."""
    parent = spec.worldbody.add_body(name="robot_base", pos=position)
    for index, link in enumerate(LINKS):
        parent = _add_link(parent, link, index - 1)
    wrist = parent.add_body(
        name="right_hand",
        pos=(0, 0, 0.1065),
        quat=(0.924, 0, 0, -0.383),
        mass=0.5,
        ipos=(0, 0, 0),
        iquat=_UPRIGHT,
        inertia=(0.05,) * 3,
        explicitinertial=True,
    )
    _add_gripper(wrist)
    for index, limit in enumerate(TORQUE_LIMIT):
        motor = spec.add_actuator(name=f"torque{index + 1}", target=f"joint{index + 1}")
        motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
        motor.set_to_motor()
        motor.ctrllimited, motor.ctrlrange = True, (-limit, limit)
    for index, ctrlrange in enumerate(((0.0, FINGER_TRAVEL), (-FINGER_TRAVEL, 0.0))):
        servo = spec.add_actuator(
            name=f"finger{index + 1}", target=f"finger_joint{index + 1}"
        )
        servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
        servo.set_to_position(kp=1000.0)
        servo.ctrllimited, servo.ctrlrange = True, ctrlrange
        servo.forcelimited, servo.forcerange = True, (-20.0, 20.0)


def _add_link(parent: mujoco.MjsBody, link: Link, joint: int) -> mujoco.MjsBody:
    body = parent.add_body(
        name=link.name,
        pos=link.position,
        quat=link.quaternion,
        mass=link.mass,
        ipos=link.center,
        iquat=_UPRIGHT,
        inertia=(link.inertia,) * 3,
        explicitinertial=True,
    )
    if link.joint_range is not None:
        body.add_joint(
            name=f"joint{joint + 1}",
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=(0, 0, 1),
            limited=True,
            range=link.joint_range,
            damping=[DAMPING[joint], 0, 0],
            armature=ARMATURE[joint],
            frictionloss=FRICTIONLOSS,
        )
    for shape in _LINK_COLLISION.get(link.name, ()):
        add_primitive(body, shape, collides="robot", visible=False)
    for shape in VISUALS[link.name]:
        add_primitive(body, shape, collides="nothing")
    return body


def _add_gripper(wrist: mujoco.MjsBody) -> None:
    hand = wrist.add_body(
        name="right_gripper",
        quat=(0.7071067811865476, 0, 0, -0.7071067811865476),
        mass=0.3,
        ipos=(0, 0, 0.17),
        iquat=_TURN,
        inertia=(0.09, 0.07, 0.05),
        explicitinertial=True,
    )
    for shape in _HAND_COLLISION:
        add_primitive(hand, shape, collides="robot", visible=False)
    for shape in _HAND_VISUAL:
        add_primitive(hand, shape, collides="nothing")
    hand.add_body(name=EEF_BODY, pos=(0, 0, 0.097))
    for index, (name, side) in enumerate((("leftfinger", 1.0), ("rightfinger", -1.0))):
        _add_finger(hand, name, index, side)


def _add_finger(hand: mujoco.MjsBody, name: str, index: int, side: float) -> None:
    travel = (0.0, FINGER_TRAVEL) if side > 0 else (-FINGER_TRAVEL, 0.0)
    finger = hand.add_body(
        name=name,
        pos=(0, 0, 0.0524),
        quat=(0.7071067811865476, 0, 0, 0.7071067811865476),
        mass=0.1,
        ipos=(0, 0, 0.05),
        iquat=_UPRIGHT,
        inertia=(0.01, 0.01, 0.005),
        explicitinertial=True,
    )
    finger.add_joint(
        name=f"finger_joint{index + 1}",
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=(0, 1, 0),
        limited=True,
        range=travel,
        damping=[100.0, 0, 0],
        armature=1.0,
        frictionloss=1.0,
    )
    *boxes, pad = _finger_shapes(side)
    for shape in boxes:
        add_primitive(finger, shape, collides="robot", condim=4)
    # robosuite gives each 10 g tip an inertia of 0.01 kg m^2: MuJoCo's fluid model
    # takes it for a box of 2.4 m, whose drag slows wrist turns by a fifth. A tip
    # merged into its finger would lose that.
    tip = finger.add_body(
        name=f"{name}_tip",
        pos=(0, side * 0.0085, 0.056),
        mass=0.01,
        ipos=(0, 0, 0),
        iquat=_UPRIGHT,
        inertia=(0.01, 0.01, 0.01),
        explicitinertial=True,
    )
    geom = add_primitive(tip, pad, collides="robot", friction=(2, 0.05, 0.0001))
    geom.solref = (0.01, 0.5)
