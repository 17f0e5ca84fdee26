"""Which checkpoint a recipe starts from."""

from collections.abc import Iterable, Iterator
from typing import Literal

from taskprompt.core.errors import nearest
from taskprompt.core.spec import Spec

Inflate = Literal["centre", "mean"]


class Weights(Spec):
    """A checkpoint that the encoder starts from; read where a run starts afresh, and never again."""

    path: str  # safetensors, what torch.save wrote (.pt, .pth, .pyth), a folder of these, or a run's checkpoints/step-N
    entry: str | None = None  # which of several sets of weights in it, such as state_dict_ema; null: the report says
    head: str | None = None  # the task that takes over the checkpoint's classifier; null: every head starts anew
    inflate: Inflate = "centre"  # an image's kernel: in the middle frame, zeros around it; or shared by all frames

    def problems(self, tasks: Iterable[str]) -> Iterator[str]:
        """What is wrong with it in a recipe of these tasks."""
        if self.head is not None and self.head not in tasks:
            known = list(tasks)
            what = f"{self.head!r} is not one of the recipe's tasks{nearest(self.head, known)}"
            yield f"weights.head: {what} Known: {', '.join(known)}."
