"""A user's own task whose loss compares samples: clips of one side attract, of different sides repel."""

import numpy as np
from torch import nn

from taskprompt import Array, Task


class Sides(Task):
    """Softmax of the likeness to every sample; the loss is its mean logarithm over the samples of the own side."""

    needs_global_batch = True
    layout = {"side": Array("", "int64")}
    label: str = "action"

    def target(self, label, sample):
        return {"side": np.asarray(label == "left", np.int64)}

    def head(self, dims):
        return Summary(dims.dim)

    def loss(self, output, target):
        logs = (output @ output.T).log_softmax(-1)
        same = (target["side"][:, None] == target["side"]).float()
        return -(logs * same).sum(-1) / same.sum(-1)

    def metrics(self, output, target):
        return {"length": output.norm(dim=-1)}


class Summary(nn.Module):
    """Features -> m 8."""

    def __init__(self, dim: int):
        super().__init__()
        self.out = nn.Linear(dim, 8)

    def forward(self, prompt, features):
        return self.out(features.summary)
