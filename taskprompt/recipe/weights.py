"""Which checkpoint a recipe starts from."""

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from taskprompt.core.errors import nearest
from taskprompt.core.spec import Spec

Inflate = Literal["centre", "mean"]


class Weights(Spec):
    """A checkpoint that the model starts from; read where a run starts afresh, and never again."""

    path: str  # safetensors, torch.save's (.pt, .pth, .pyth), a folder of these, a run, or its checkpoints/step-N
    parts: tuple[str, ...] | None = Field(default=None, min_length=1)  # modules to take from a run; null: the encoder
    entry: str | None = None  # which of several sets of weights in it, such as state_dict_ema; null: the report says
    head: str | None = None  # the task that takes over the checkpoint's classifier; null: every head starts anew
    inflate: Inflate = "centre"  # an image's kernel: in the middle frame, zeros around it; or shared by all frames

    def problems(self, tasks: Iterable[str]) -> Iterator[str]:
        """What is wrong with it in a recipe of these tasks."""
        if self.parts is not None and self.head is not None:
            yield f"weights.head: is not for parts of a run. Remove it, and add heads.{self.head} to weights.parts."
        elif self.head is not None and self.head not in tasks:
            known = list(tasks)
            what = f"{self.head!r} is not one of the recipe's tasks{nearest(self.head, known)}"
            yield f"weights.head: {what} Known: {', '.join(known)}."
        if self.parts is not None and self.inflate != "centre":
            yield "weights.inflate: parts of a run are loaded as they are. Remove it, or remove weights.parts."

    def has_encoder(self) -> bool:
        """Does the encoder, or a part of it, come from the checkpoint?"""
        return self.parts is None or any(part.split(".")[0] == "encoder" for part in self.parts)

    def heads(self, tasks: Iterable[str]) -> set[str]:
        """The tasks whose head comes from the checkpoint, whole."""
        if self.parts is None:
            return {name for name in tasks if name == self.head}
        return {name for name in tasks if {"heads", f"heads.{name}"} & {*self.parts}}
