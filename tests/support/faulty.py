"""A user's own task with a mistake of one's choice, on one clip of one's choice."""

from typing import Literal

import torch
from torch import nn

from taskprompt.tasks.depth import Depth


class Faulty(Depth):
    """Depth, but for one place in which it fails."""

    fails: Literal["target", "head", "loss", "nan"]
    index: int = 3  # of the clip of `squares` whose target fails

    def target(self, label, sample):
        if self.fails == "target" and sample.key == f"squares/{self.index}":
            raise KeyError("thickness")
        return super().target(label, sample)

    def head(self, dims):
        return Broken() if self.fails == "head" else super().head(dims)

    def loss(self, output, target):
        if self.fails == "loss":
            return output.mean((1, 2)) @ output
        loss = super().loss(output, target)
        if self.fails == "nan":
            nearest = target["depth"].flatten(1).argmin(-1)
            loss = torch.where(nearest == nearest.min(), loss / 0 * 0, loss)
        return loss


class Broken(nn.Module):
    """A head that wants what no prompt has."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(7, 7)

    def forward(self, prompt, features):
        return self.out(prompt)
