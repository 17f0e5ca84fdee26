"""processors: light feature processors after the encoder, one per task, integrated into its features (FTP)."""

import dataclasses

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from taskprompt.core.model import Encoder, Prompter
from taskprompt.core.types import Dims, Features


class Processors(Prompter):
    """A processor for every task that owns prompts, giving T + N tokens, one per frame and one per position (FTP).

    The outputs of the processors are also added to the patches, with zero weights at first. The parts that a stage may
    freeze are `prompter.processors`, `prompter.processors.NAME` and `prompter.integration`."""

    def build(self, dims: Dims) -> "FeatureProcessors":
        """One processor and one integration layer per task."""
        return FeatureProcessors(dims)


class FeatureProcessors(nn.Module):
    """encoder, b t h w c -> Features with `prompts`, task -> b (t + h w) d, which are integrated into `patches`."""

    def __init__(self, dims: Dims):
        super().__init__()
        owners = [name for name, count in dims.prompts.items() if count]
        self.processors = nn.ModuleDict({name: Processor(dims.dim) for name in owners})
        self.integration = nn.ModuleDict({name: Integration(dims.dim) for name in owners})

    def forward(self, encoder: Encoder, video: Tensor) -> Features:
        features, _ = encoder(video)
        patches, prompts = features.patches, {}
        for name, processor in self.processors.items():
            frames, places = processor(features.patches)
            prompts[name] = torch.cat([frames, places.flatten(1, 2)], 1)
            patches = patches + self.integration[name](frames, places)
        return dataclasses.replace(features, patches=patches, prompts=prompts)


class Processor(nn.Module):
    """b t h w d -> b t d and b h w d: max pooling over each frame and over each position, each with a linear layer.

    Max pooling, as in table A1. With mean pooling, the aligned mean would be a linear map of the clip's mean, without
    spatial and temporal information (20.6 top-1 with four tiers, 28.0 with max pooling; docs/results.md)."""

    def __init__(self, dim: int):
        super().__init__()
        self.frames = nn.Linear(dim, dim)
        self.places = nn.Linear(dim, dim)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        frames = self.frames(reduce(patches, "b t h w d -> b t d", "max"))
        return frames, self.places(reduce(patches, "b t h w d -> b h w d", "max"))


class Integration(nn.Module):
    """b t d, b h w d -> b t h w d: a linear layer on [token of frame t, token of position (h, w)].

    The layer with 2 d inputs is computed as a sum of two with d, so that tokens need not be repeated."""

    def __init__(self, dim: int):
        super().__init__()
        self.frames = nn.Linear(dim, dim)
        self.places = nn.Linear(dim, dim, bias=False)
        for parameter in self.parameters():  # no effect at first
            nn.init.zeros_(parameter)

    def forward(self, frames: Tensor, places: Tensor) -> Tensor:
        return rearrange(self.frames(frames), "b t d -> b t 1 1 d") + self.places(places)[:, None]
