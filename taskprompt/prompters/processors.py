"""processors: light feature processors behind the encoder, one a task, integrated into its features (FTP)."""

import dataclasses

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from taskprompt.core.model import Encoder, Prompter
from taskprompt.core.types import Dims, Features


class Processors(Prompter):
    """A processor for every task that owns prompts: its prompts are T + N tokens, one a frame and one a place (FTP).

    What the processors found is added to the patches, too; at first nothing is. The parts that a stage may freeze are
    `prompter.processors`, `prompter.processors.NAME` and `prompter.integration`."""

    def build(self, dims: Dims) -> "FeatureProcessors":
        """One processor and one integrating layer a task."""
        return FeatureProcessors(dims)


class FeatureProcessors(nn.Module):
    """encoder, b t h w c -> Features with `prompts`, task -> b (t + h w) d, and `patches` that know of them."""

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
    """b t h w d -> b t d, the maximum of each frame, and b h w d, that of each place, each through a layer of its own.

    The maximum, as in table A1. Of means, the mean that is aligned would be a linear map of the clip's mean: where and
    when something is would be lost (20.6 top-1 with four tiers, 28.0 with maxima; docs/results.md)."""

    def __init__(self, dim: int):
        super().__init__()
        self.frames = nn.Linear(dim, dim)
        self.places = nn.Linear(dim, dim)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        frames = self.frames(reduce(patches, "b t h w d -> b t d", "max"))
        return frames, self.places(reduce(patches, "b t h w d -> b h w d", "max"))


class Integration(nn.Module):
    """b t d, b h w d -> b t h w d: position (t, h, w) gets a linear layer of [its frame's token, its place's].

    That layer of 2 d inputs is the sum of two of d, so nothing is replicated before it."""

    def __init__(self, dim: int):
        super().__init__()
        self.frames = nn.Linear(dim, dim)
        self.places = nn.Linear(dim, dim, bias=False)
        for parameter in self.parameters():  # a model begins as its encoder alone
            nn.init.zeros_(parameter)

    def forward(self, frames: Tensor, places: Tensor) -> Tensor:
        return rearrange(self.frames(frames), "b t d -> b t 1 1 d") + self.places(places)[:, None]
