"""Weights: the pretrained checkpoint of a recipe."""

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from taskprompt.core.errors import nearest
from taskprompt.core.spec import Spec

Inflate = Literal["centre", "mean"]


class Weights(Spec):
    """The pretrained checkpoint; read when a run starts from scratch, not when it is resumed."""

    path: str  # safetensors, torch.save's (.pt, .pth, .pyth), a folder of these, a run, or its checkpoints/step-N
    parts: tuple[str, ...] | None = Field(default=None, min_length=1)  # modules to load from a run; null: the encoder
    entry: str | None = None  # which of several sets of weights in it, such as state_dict_ema; null: see the report
    head: str | None = None  # task that gets the checkpoint's classifier; null: heads are randomly initialised
    inflate: Inflate = "centre"  # of 2D kernels: centre frame, zeros elsewhere; mean: spread over all frames

    def problems(self, tasks: Iterable[str]) -> Iterator[str]:
        """Its problems in a recipe with these tasks."""
        if self.parts is not None and self.head is not None:
            yield f"weights.head: cannot be combined with parts. Remove it, and add heads.{self.head} to weights.parts."
        elif self.head is not None and self.head not in tasks:
            known = list(tasks)
            what = f"{self.head!r} is not one of the recipe's tasks{nearest(self.head, known)}"
            yield f"weights.head: {what} Known: {', '.join(known)}."
        if self.parts is not None and self.inflate != "centre":
            yield "weights.inflate: parts of a run are loaded unchanged. Remove it, or remove weights.parts."

    def has_encoder(self) -> bool:
        """Whether the encoder, or a part of it, is loaded from the checkpoint."""
        return self.parts is None or any(part.split(".")[0] == "encoder" for part in self.parts)

    def heads(self, tasks: Iterable[str]) -> set[str]:
        """The tasks whose whole head is loaded from the checkpoint."""
        if self.parts is None:
            return {name for name in tasks if name == self.head}
        return {name for name in tasks if {"heads", f"heads.{name}"} & {*self.parts}}
