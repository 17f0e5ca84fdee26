"""Depth: how far away is each pixel, frame by frame?"""

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from taskprompt.core.errors import SampleError
from taskprompt.core.metrics import Metric
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Dims
from taskprompt.nn.heads import DenseHead
from taskprompt.tasks._draw import ramp
from taskprompt.tasks._maps import checked_map, clip_figure, clip_mean, nearest_pixels

FURTHER = 20.0  # times `far`: a clip whose nearest pixel is beyond is not in metres
NEAREST = 1e-3  # metres; smaller predictions are clipped to it


class Depth(Task):
    """z-depth per pixel by mean squared error in units of `far` (PViT eq. 3). Output: m frames height width.

    An output of 1 is `far`. The target is clipped at `far`; so is the prediction, but only where the target is:
    otherwise predictions beyond `far` would get no gradient for near pixels. Unknown pixels are ignored."""

    layout = {"depth": Array("frames height width")}  # metres, at most `far`; NaN where unknown
    trivial_name = "mean depth map"
    height: int = Field(default=28, ge=1, le=16_384)  # of the map; the label is downsampled to it, nearest pixel
    width: int = Field(default=28, ge=1, le=16_384)  # of the map
    far: float = Field(default=10.0, gt=0)  # metres
    dropout: float = Field(default=0.1, ge=0, lt=1)  # of the upsampled tokens

    def target(self, label, sample):
        """t h w metres -> frames height width metres; 0 and less are unknown. Raises SampleError for a wrong shape,
        integers (classes), and distances that cannot be metres."""
        whole = checked_map(label, sample)
        if whole.dtype.kind in "bui":
            raise SampleError(
                f"found a map of whole numbers up to {whole.max(initial=0)}, which are classes; expected metres. "
                "Set `scale` of the label file to the metres per stored unit, such as 0.001."
            )
        depth = nearest_pixels(whole, self.height, self.width).astype(np.float32)
        known = depth > 0
        nearest = depth.min(where=known, initial=np.inf)
        if FURTHER * self.far < nearest < np.inf:
            raise SampleError(
                f"the nearest pixel is {nearest:.4g} m away, and `far` is {self.far:g} m. Set `scale` of the label "
                "file if these are millimetres, or raise `far`."
            )
        return {"depth": np.where(known, np.minimum(depth, self.far), np.nan)}

    def head(self, dims: Dims) -> nn.Module:
        """-> m frames height width 1."""
        return DenseHead(dims, 1, self.height, self.width, dropout=self.dropout)

    def loss(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean squared error over known pixels, eq. 3."""
        share = target["depth"] / self.far
        found = output.squeeze(-1)
        found = torch.where(share >= 1, found.clamp(max=1), found)
        return clip_mean((found - share.nan_to_num()).square(), share.isfinite())

    def metrics(self, output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """AbsRel, RMSE_m in metres and delta1 (the share of pixels within a factor of 1.25), per image.

        Each is computed over the known pixels of a frame, then averaged over the clip's frames."""
        images, known = self._images(output, target)
        return {name: clip_figure(value, known) for name, value in images.items()}

    def measures(self) -> tuple[Metric, ...]:
        """Each over all pixels of the set, and as a mean over its frames."""
        return (
            Metric("AbsRel", "", "min", over="set"),
            Metric("RMSE_m", "m", "min", over="set"),
            Metric("delta1", "%", "max", over="set", title="δ < 1.25"),
            Metric("AbsRel_image", "", "min", over="set", title="AbsRel, by frame"),
            Metric("RMSE_m_image", "m", "min", over="set", title="RMSE, by frame"),
            Metric("delta1_image", "%", "max", over="set", title="δ < 1.25, by frame"),
        )

    def meter(self):
        """AbsRel, RMSE_m and delta1 over all pixels of the set; with `_image` in the name, averaged over its images."""
        from taskprompt.tasks._sums import Sums

        return Sums(
            {name: () for name in ("pixels", "ratio", "square", "near", "images", *_NAMES)}, self._sums, _figures
        )

    def trivial(self, target: dict[str, Tensor]) -> Tensor:
        """1 frames height width 1: the mean depth of every pixel; the mean over all if a pixel was never known."""
        share = target["depth"] / self.far
        mean = share.nanmean(0, keepdim=True)
        return torch.where(mean.isfinite(), mean, share.nanmean().nan_to_num()).unsqueeze(-1)

    def perfect(self, target: dict[str, Tensor]) -> Tensor:
        """m frames height width 1: the depth itself, NaN where unknown."""
        return (target["depth"] / self.far).unsqueeze(-1)

    def picture(self, output: Tensor, video: np.ndarray) -> np.ndarray:
        """The depth as a colour map, near bright and far dark."""
        return ramp(output.squeeze(-1), video.shape[1:3])

    def _errors(self, output: Tensor, target: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """m f h w each, 0 where unknown: |relative error|, squared error in metres, within a factor of 1.25; known."""
        true, known = target["depth"], target["depth"].isfinite()
        found = (output.squeeze(-1) * self.far).clamp(NEAREST, self.far)
        found, true = torch.where(known, found, 1), torch.where(known, true, 1)
        near = torch.maximum(found / true, true / found) < 1.25
        near = (near & known).float()
        return {"ratio": (found - true).abs() / true, "square": (found - true).square(), "near": near}, known

    def _images(self, output: Tensor, target: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """m f each: the figures of every frame, and which frames have known pixels."""
        errors, known = self._errors(output, target)
        count = known.sum((2, 3))
        ratio, square, near = (errors[n].sum((2, 3)) / count.clamp(min=1) for n in ("ratio", "square", "near"))
        return dict(zip(_NAMES, (ratio, square.sqrt(), near), strict=True)), count > 0

    def _sums(self, output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        errors, known = self._errors(output, target)
        images, seen = self._images(output, target)
        sums = {name: value.double().sum() for name, value in errors.items()}
        sums |= {name: value.double().sum() for name, value in images.items()}
        return sums | {"pixels": known.sum(), "images": seen.sum()}


_NAMES = ("AbsRel", "RMSE_m", "delta1")


def _figures(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    pixels, images = sums["pixels"], sums["images"]
    whole = (sums["ratio"] / pixels, (sums["square"] / pixels).sqrt(), sums["near"] / pixels)
    by_image = {f"{name}_image": sums[name] / images for name in _NAMES}
    return dict(zip(_NAMES, whole, strict=True)) | by_image
