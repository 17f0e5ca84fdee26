"""A user's own task that draws nothing: how bright is the clip? Its label lies in the action's name."""

import numpy as np

from taskprompt import Array, PromptHead, Task


class Brightness(Task):
    """1 for a clip that moves left, 0 for the others; its metric is called as no one else's."""

    layout = {"level": Array("1")}
    label: str = "action"

    def target(self, label, sample):
        return {"level": np.asarray([label == "left"], np.float32)}

    def head(self, dims):
        return PromptHead(dims.dim, 1)

    def loss(self, output, target):
        return (output - target["level"]).square().mean(-1)

    def metrics(self, output, target):
        return {"gap": (output - target["level"]).abs().mean(-1), "nothing": output.mean(-1) * float("nan")}
