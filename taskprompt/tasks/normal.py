"""Normal: which way does the surface under each pixel face, frame by frame?"""

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from taskprompt.core.metrics import Metric
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Dims
from taskprompt.nn.heads import DenseHead
from taskprompt.tasks._draw import directions
from taskprompt.tasks._maps import checked_map, clip_figure, clip_mean, masked_area_mean

BINS_A_DEGREE = 100  # of the histogram for the median
NEAR = 11.25  # degrees, the usual threshold


class Normal(Task):
    """Unit normals by mean squared error over three axes (PViT eq. 4). Output: m frames height width 3, of any length.

    The axes are the camera's (x right, y down, z forward), not the world's as in the paper: the world's axes cannot be
    inferred from a clip, and a flip only negates x here. Unknown pixels are ignored."""

    layout = {"normal": Array("frames height width 3")}  # unit vectors, NaN where unknown
    trivial_name = "mean normal map"
    height: int = Field(
        default=28, ge=1, le=16_384
    )  # of the map; the label is averaged over the known pixels of a cell
    width: int = Field(default=28, ge=1, le=16_384)  # of the map
    dropout: float = Field(default=0.1, ge=0, lt=1)  # of the upsampled tokens

    def target(self, label, sample):
        """t h w 3 -> frames height width 3, of length 1 again after averaging. Raises SampleError for a wrong shape."""
        mean = masked_area_mean(checked_map(label, sample, 3), self.height, self.width)
        length = np.linalg.norm(mean, axis=-1, keepdims=True)
        return {"normal": mean / np.where(length > 1e-6, length, np.nan)}

    def head(self, dims: Dims) -> nn.Module:
        """-> m frames height width 3."""
        return DenseHead(dims, 3, self.height, self.width, dropout=self.dropout)

    def loss(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean squared error over known pixels and axes, eq. 4."""
        true = target["normal"]
        return clip_mean((output - true.nan_to_num()).square(), true.isfinite())

    def metrics(self, output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """The angle between normals over the clip's known pixels: its mean, median, and share below 11.25 degrees."""
        angle, known = _degrees(output, target["normal"])
        median = torch.where(known, angle, torch.nan).flatten(1).nanmedian(1).values
        near = clip_figure((angle < NEAR).float(), known)
        return {"mean_deg": clip_figure(angle, known), "median_deg": median, "within_11.25_deg": near}

    def measures(self) -> tuple[Metric, ...]:
        """The angle between normals over all pixels of the set."""
        return (
            Metric("mean_deg", "deg", "min", over="set", title="mean angle"),
            Metric("median_deg", "deg", "min", over="set", title="median angle"),
            Metric("within_11.25_deg", "%", "max", over="set", title="within 11.25°"),
        )

    def meter(self):
        """The same over all pixels of the set; the median is exact to a hundredth of a degree."""
        from taskprompt.tasks._sums import Sums

        return Sums({"pixels": (), "angle": (), "near": (), "histogram": (180 * BINS_A_DEGREE,)}, _sums, _figures)

    def trivial(self, target: dict[str, Tensor]) -> Tensor:
        """1 frames height width 3: the mean normal of every pixel; the mean over all if a pixel was never known."""
        mean = target["normal"].nanmean(0, keepdim=True)
        return torch.where(mean.isfinite(), mean, target["normal"].flatten(0, -2).nanmean(0).nan_to_num())

    def perfect(self, target: dict[str, Tensor]) -> Tensor:
        """m frames height width 3: the normals themselves, NaN where unknown."""
        return target["normal"]

    def picture(self, output: Tensor, video: np.ndarray) -> np.ndarray:
        """The usual colours of normal maps: red to the right, green up, blue towards the camera."""
        return directions(F.normalize(output, dim=-1), video.shape[1:3])


def _degrees(output: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """m ... 3 twice -> the angle between them, m ... in degrees, 0 where unknown; which are known.

    2 atan2(|a - b|, |a + b|) is precise near 0 and 180 degrees, unlike the arc cosine."""
    known = true.isfinite().all(-1)
    a, b = (F.normalize(torch.where(known[..., None], x, 1).float(), dim=-1) for x in (output, true))
    angle = 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)).rad2deg()
    return torch.where(known, angle, 0), known


def _sums(output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
    angle, known = _degrees(output, target["normal"])
    angle = angle[known]
    bins = (angle * BINS_A_DEGREE).long().clamp(max=180 * BINS_A_DEGREE - 1)
    return {
        "pixels": known.sum(),
        "angle": angle.double().sum(),
        "near": (angle < NEAR).sum(),
        "histogram": torch.bincount(bins, minlength=180 * BINS_A_DEGREE),
    }


def _figures(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    pixels, below = sums["pixels"], sums["histogram"].cumsum(0)
    at = torch.searchsorted(below, (pixels / 2).clamp(min=0.5))  # the first bin that reaches half of the pixels
    middle = (at + 0.5) / BINS_A_DEGREE
    return {
        "mean_deg": sums["angle"] / pixels,
        "median_deg": torch.where(pixels > 0, middle, torch.nan),
        "within_11.25_deg": sums["near"] / pixels,
    }
