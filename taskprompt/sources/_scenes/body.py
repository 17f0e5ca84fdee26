"""The figure: 25 joints of KinectV2, the bones between them, and the solids that make them visible.

Body axes: x forward, y left, z up; metres for a person of scale 1, who is about 1.8 m tall.
"""

from typing import NamedTuple

_SPINE, _TORSO = ("SpineBase", "SpineMid", "Neck", "Head"), ("SpineShoulder",)
_ARMS = tuple(f"{part}{side}" for side in ("Left", "Right") for part in ("Shoulder", "Elbow", "Wrist", "Hand"))
_LEGS = tuple(f"{part}{side}" for side in ("Left", "Right") for part in ("Hip", "Knee", "Ankle", "Foot"))
_TIPS = tuple(f"{part}{side}" for side in ("Left", "Right") for part in ("HandTip", "Thumb"))
JOINTS = (*_SPINE, *_ARMS, *_LEGS, *_TORSO, *_TIPS)  # KinectV2 order
SWAP = tuple((i, JOINTS.index(j.replace("Left", "Right"))) for i, j in enumerate(JOINTS) if "Left" in j)
RIGID = ("Wrist", "HandTip", "Thumb", "Foot")  # joints that never turn

UPPER_ARM = 0.28
FOREARM = 0.32  # elbow to the middle of the hand
LEG = 0.92  # hip to sole


class Solid(NamedTuple):
    """One visible piece of a bone. capsule: x y z of both ends and a radius; ellipsoid: three half axes."""

    shape: str
    size: tuple[float, ...]
    stuff: str  # skin, hair, shirt, trousers or shoes
    at: tuple[float, float, float] = (0, 0, 0)


class Bone(NamedTuple):
    """A joint, its parent joint, its offset from it, and its solids."""

    joint: str
    parent: str | None
    offset: tuple[float, float, float]
    solids: tuple[Solid, ...] = ()


def _arm(side: str, y: int) -> list[Bone]:
    return [
        Bone(
            f"Shoulder{side}",
            "SpineShoulder",
            (0, y * 0.185, -0.03),
            (Solid("capsule", (0, 0, 0, 0, 0, -0.27, 0.054), "shirt"),),
        ),
        Bone(
            f"Elbow{side}",
            f"Shoulder{side}",
            (0, 0, -UPPER_ARM),
            (Solid("capsule", (0, 0, 0, 0, 0, -0.23, 0.041), "skin"),),
        ),
        Bone(f"Wrist{side}", f"Elbow{side}", (0, 0, -0.25)),
        Bone(f"Hand{side}", f"Wrist{side}", (0, 0, -0.07), (Solid("ellipsoid", (0.047, 0.027, 0.067), "skin"),)),
        Bone(
            f"HandTip{side}",
            f"Hand{side}",
            (0, 0, -0.09),
            (Solid("capsule", (0, 0, 0.04, 0, 0, 0, 0.022), "skin"),),
        ),
        Bone(
            f"Thumb{side}",
            f"Hand{side}",
            (0.06, 0, -0.03),
            (Solid("capsule", (-0.04, 0, 0.03, 0, 0, 0, 0.016), "skin"),),
        ),
    ]


def _leg(side: str, y: int) -> list[Bone]:
    return [
        Bone(
            f"Hip{side}",
            "SpineBase",
            (0, y * 0.09, -0.04),
            (Solid("capsule", (0, 0, 0, 0, 0, -0.4, 0.08), "trousers"),),
        ),
        Bone(
            f"Knee{side}",
            f"Hip{side}",
            (0, 0, -0.42),
            (Solid("capsule", (0, 0, 0, 0, 0, -0.38, 0.057), "trousers"),),
        ),
        Bone(
            f"Ankle{side}",
            f"Knee{side}",
            (0, 0, -0.41),
            (Solid("capsule", (-0.05, 0, -0.045, 0.13, 0, -0.05, 0.042), "shoes"),),
        ),
        Bone(f"Foot{side}", f"Ankle{side}", (0.14, 0, -0.05)),
    ]


BONES = (
    Bone("SpineBase", None, (0, 0, 0), (Solid("ellipsoid", (0.11, 0.155, 0.11), "trousers"),)),
    Bone("SpineMid", "SpineBase", (0, 0, 0.2), (Solid("ellipsoid", (0.1, 0.14, 0.16), "shirt"),)),
    Bone(
        "SpineShoulder",
        "SpineMid",
        (0, 0, 0.26),
        (Solid("ellipsoid", (0.115, 0.178, 0.19), "shirt", (0, 0, -0.1)),),
    ),
    Bone("Neck", "SpineShoulder", (0, 0, 0.08), (Solid("capsule", (0, 0, -0.05, 0, 0, 0.08, 0.05), "skin"),)),
    Bone(
        "Head",
        "Neck",
        (0, 0, 0.15),
        (
            Solid("ellipsoid", (0.095, 0.078, 0.122), "skin"),
            Solid("ellipsoid", (0.02, 0.016, 0.024), "skin", (0.096, 0, -0.02)),
            Solid("ellipsoid", (0.097, 0.088, 0.098), "hair", (-0.026, 0, 0.05)),
        ),
    ),
    *_arm("Left", 1),
    *_leg("Left", 1),
    *_arm("Right", -1),
    *_leg("Right", -1),
)
