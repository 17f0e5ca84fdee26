"""Pose3d: the 25 joints of the person in the clip, per frame."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from taskprompt.core.errors import SampleError
from taskprompt.core.metrics import Metric
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Dims
from taskprompt.nn.heads import PromptHead
from taskprompt.tasks._draw import Path, colours, lines
from taskprompt.tasks._labels import numbers
from taskprompt.tasks._maps import clip_figure, clip_mean

# fmt: off
JOINTS = (  # KinectV2's, in its order
    "spine_base", "spine_mid", "neck", "head",
    "shoulder_left", "elbow_left", "wrist_left", "hand_left",
    "shoulder_right", "elbow_right", "wrist_right", "hand_right",
    "hip_left", "knee_left", "ankle_left", "foot_left",
    "hip_right", "knee_right", "ankle_right", "foot_right",
    "spine_shoulder", "hand_tip_left", "thumb_left", "hand_tip_right", "thumb_right",
)
# fmt: on
LIMBS = (
    (3, 2, 20, 1, 0),  # head to pelvis
    (20, 4, 5, 6, 7, 21),
    (6, 22),
    (20, 8, 9, 10, 11, 23),
    (10, 24),
    (0, 12, 13, 14, 15),
    (0, 16, 17, 18, 19),
)
FRAME_METRES = 2.4  # height of the picture in metres


class Pose3d(Task):
    """Joints by mean squared error in metres (PViT eq. 6). Output: m frames 25 3, KinectV2's joints.

    They are relative to the pelvis (joint 0), in camera axes: x right, y down, z forward. A joint without a label is
    ignored, as is a frame whose pelvis has none."""

    layout = {"joints": Array("frames 25 3")}  # metres from the pelvis, NaN where unknown
    trivial_name = "mean pose"
    dropout: float = Field(default=0.0, ge=0, lt=1)  # of the prompt

    def target(self, label, sample):
        """t 25 3 metres in camera axes -> the same relative to the pelvis. Raises SampleError for another shape."""
        joints = numbers(label, "x y z of 25 joints per frame").astype(np.float32)
        expected = (len(sample.clip.video), len(JOINTS), 3)
        if joints.shape != expected:
            raise SampleError(
                f"the joints have shape {joints.shape}, expected {expected}: 25 KinectV2 joints of one person "
                "per frame. Give NaN for a joint that is not known."
            )
        known = np.isfinite(joints).all(-1, keepdims=True)
        return {"joints": np.where(known, joints - joints[:, :1], np.nan)}

    def head(self, dims: Dims) -> nn.Module:
        """-> m frames 25 3."""
        return PromptHead(dims.dim, dims.frames, len(JOINTS), 3, dropout=self.dropout)

    def loss(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean squared error over the coordinates of known joints, eq. 6."""
        true = target["joints"]
        return clip_mean((output - true.nan_to_num()).square(), true.isfinite())

    def metrics(self, output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """MPJPE_mm: the mean distance of known joints, with aligned pelvis (which counts as 0).

        PA_MPJPE_mm: the same after the best similarity transform per frame; frames with fewer than three joints are
        ignored."""
        true, known = target["joints"], target["joints"].isfinite().all(-1)
        found = output - output[..., :1, :]
        enough = known & (known.sum(-1, keepdim=True) >= 3)
        apart = 1000 * (found - true).norm(dim=-1)
        aligned = 1000 * (similar(found, true, enough) - true).norm(dim=-1)
        return {"MPJPE_mm": clip_figure(apart, known), "PA_MPJPE_mm": clip_figure(aligned, enough)}

    def measures(self) -> tuple[Metric, ...]:
        """Means over clips."""
        return Metric("MPJPE_mm", "mm", "min"), Metric("PA_MPJPE_mm", "mm", "min", title="PA-MPJPE")

    def trivial(self, target: dict[str, Tensor]) -> Tensor:
        """1 frames 25 3: the mean pose of every frame; a joint that is never known gets its mean over frames, or 0."""
        mean = target["joints"].nanmean(0, keepdim=True)
        return torch.where(mean.isfinite(), mean, target["joints"].nanmean((0, 1)).nan_to_num())

    def perfect(self, target: dict[str, Tensor]) -> Tensor:
        """m frames 25 3: the joints themselves, NaN where unknown."""
        return target["joints"]

    def picture(self, output: Tensor, video: np.ndarray) -> np.ndarray:
        """The skeleton on the dimmed frames: an orthographic view along the camera's z axis, with the pelvis in the
        centre and 2.4 m per frame height. The person's position in the image is not predicted."""
        height, width = video.shape[1:3]
        points = output.detach().float().cpu().numpy()[..., :2] * (height / FRAME_METRES) + (width / 2, height / 2)
        return np.stack([lines(f // 3, _bones(joints)) for f, joints in zip(video, points, strict=True)])

    def answer(self, output: Tensor) -> dict[str, list]:
        """The joints' names, and x y z of each per frame, in metres from the pelvis."""
        return {"joints": list(JOINTS), "metres": [[[round(v, 4) for v in j] for j in f] for f in output.tolist()]}


def similar(found: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """... j 3, ... j 3, ... j bool -> `found` rotated, scaled and translated for the best fit to `true`.

    Orthogonal Procrustes with scale over the known joints, without reflection (Umeyama, 1991)."""
    weight = known[..., None].double()
    count = weight.sum(-2, keepdim=True).clamp(min=1)
    x, y = (torch.where(known[..., None], p.double(), 0) for p in (found, true))
    x_mean, y_mean = x.sum(-2, keepdim=True) / count, y.sum(-2, keepdim=True) / count
    x, y = (x - x_mean) * weight, (y - y_mean) * weight
    u, s, v = torch.linalg.svd(x.mT @ y)
    sign = torch.ones_like(s)
    sign[..., -1] = torch.where(torch.linalg.det(u @ v) < 0, -1.0, 1.0)
    turn = (u * sign[..., None, :]) @ v
    scale = (s * sign).sum(-1) / x.square().sum((-2, -1)).clamp(min=1e-12)
    return (scale[..., None, None] * ((found.double() - x_mean) @ turn) + y_mean).to(found.dtype)


def _bones(joints: np.ndarray) -> Iterator[Path]:
    for limb, colour in zip(LIMBS, colours(len(LIMBS)), strict=True):
        for a, b in pairwise(limb):
            if np.isfinite(joints[[a, b]]).all():
                yield (joints[a], joints[b]), colour
