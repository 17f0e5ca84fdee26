"""Backbone, Encoder, Prompter, and the model that joins them with the tasks' heads."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Self

import torch
from pydantic import field_validator
from torch import Tensor, nn

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError, TaskError, mistakes_of
from taskprompt.core.layout import Layout
from taskprompt.core.normalization import Normalization
from taskprompt.core.spec import Spec, kind_of
from taskprompt.core.task import Task
from taskprompt.core.types import Dims, Features

Prompts = Tensor | Sequence[Tensor]


class Encoder(nn.Module, ABC):
    """b t h w c float, normalised; b n d -> Features, b n d: prompt tokens take part in attention and are returned.

    Prompts may also be a list with one b n d per block, of the widths in Dims: then every block gets its own prompts,
    and the previous block's output for its prompts is dropped (VPT-deep). If Dims says that the encoder accepts no
    prompts, it is called without any."""

    checkpointing: bool = False  # set by the trainer: activations of blocks are recomputed in the backward pass

    @abstractmethod
    def forward(self, video: Tensor, prompts: Prompts | None = None) -> tuple[Features, Tensor | None]:
        """See the class; without prompts it returns None for them."""

    def position_embeddings(self) -> dict[str, str]:
        """Position embeddings -> their leading axes: 't', 'h w', 't h w', or 'rows' for relative positions.

        Those of a checkpoint for clips of another shape are resized: bicubic over h and w, linear over other axes."""
        return {}


class Backbone(Spec):
    """Base class of backbones: the spec; `build` makes the Encoder."""

    home: ClassVar[str] = "taskprompt.backbones"
    layouts: ClassVar[tuple[Layout, ...]] = ()  # the code bases whose checkpoints it can load
    # Unless a recipe sets them, those of its weights, or of the model that it names, are used.
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)  # RGB in 0..1, subtracted
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)  # RGB in 0..1, divided by

    @field_validator("std", check_fields=False)
    @classmethod
    def _above_zero(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and min(value) <= 0:
            raise SpecError(f"found {list(value)}, expected three numbers above 0: colours are divided by them.")
        return value

    @abstractmethod
    def dims(self, clip: ClipSpec) -> Dims:
        """Sizes for clips of this shape; raises SpecError if the shape does not fit."""

    @abstractmethod
    def build(self, clip: ClipSpec) -> Encoder:
        """The encoder, freshly initialised."""

    def normalization(self) -> Normalization | None:
        """The mean and std of the model that it names; None: it names none, or they are unknown."""
        return None

    def normalized_as(self, stated: Normalization | None) -> Self:
        """The same, with the stated mean and std where the recipe does not set them."""
        given = self.model_fields_set
        found = {"mean": stated.mean, "std": stated.std} if stated else {}
        return self.model_copy(update={n: v for n, v in found.items() if n not in given})


class Prompter(Spec):
    """Base class of prompters, which compute the tasks' prompts."""

    home: ClassVar[str] = "taskprompt.prompters"

    def check(self, dims: Dims) -> None:
        """Raises SpecError if it cannot be used with these sizes; called before anything is built."""
        return

    def require_prompts(self, dims: Dims) -> None:
        """Raises SpecError if the encoder does not accept prompt tokens."""
        if not dims.accepts_prompts:
            raise SpecError(
                f"{kind_of(type(self))}: this backbone does not accept prompt tokens. Use the prompter processors, "
                "which reads its output, or none; or another backbone."
            )

    @abstractmethod
    def build(self, dims: Dims) -> nn.Module:
        """A module called prompter(encoder, video) -> Features with `prompts` filled for dims.prompts."""


class MultiTaskModel(nn.Module):
    """encoder + prompter + one head per task. Heads run on the rows given for them, or on all if no rows are given."""

    mean: Tensor
    std: Tensor
    feature_cache: Callable[..., tuple[Features, None]] | None = None  # set by the trainer: a frozen encoder's output

    def __init__(self, backbone: Backbone, prompter: Prompter, tasks: Mapping[str, Task], clip: ClipSpec):
        super().__init__()
        self.dims = model_dims(backbone, tasks, clip)
        self.encoder = backbone.build(clip)
        self.prompter = prompter.build(self.dims)
        self.heads = nn.ModuleDict({n: t.head(self.dims) for n, t in tasks.items()})
        self.with_inputs = {n: tuple(t.inputs) for n, t in tasks.items() if t.inputs}
        self.register_buffer("mean", torch.tensor(backbone.mean), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std), persistent=False)

    def features(self, video: Tensor) -> Features:
        """b t h w c uint8 -> Features. Normalised here, so that pixels are copied to the device as bytes."""
        encoder = self.encoder if self.feature_cache is None else partial(self.feature_cache, self.encoder, video)
        return self.prompter(encoder, (video.to(self.mean.dtype) / 255 - self.mean) / self.std)

    def forward(
        self,
        video: Tensor,
        rows: Mapping[str, Tensor] | None = None,
        inputs: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """b t h w c uint8 -> task -> output for its rows (m first), for all b if rows is None.

        inputs: task -> name -> m ..., for the tasks that declare `inputs`, with one entry for each of the task's rows.
        A task with zero rows runs on one sample, with inputs of zeros, so that its weights always take part in the
        backward pass; its output then has length 1 and the caller gives it weight zero.
        Raises TaskError if a task's head fails, or lacks the inputs that it declares."""
        features = self.features(video)
        outputs: dict[str, Tensor] = {}
        for name, head in self.heads.items():
            part, own = features, self._inputs_of(name, inputs or {}, rows)
            if rows is not None:
                if name not in rows:
                    continue
                at = rows[name]
                part = features.select(at if len(at) else at.new_zeros(1))
            with mistakes_of(name, f"the module that its `head` builds, {type(head).__name__}"):
                outputs[name] = head(part.prompts.get(name), part, *own)
        return outputs

    def _inputs_of(
        self, name: str, inputs: Mapping[str, Mapping[str, Tensor]], rows: Mapping[str, Tensor] | None
    ) -> tuple[dict[str, Tensor], ...]:
        """Further arguments of a task's head after the features: its inputs, or nothing if it declares none."""
        if name not in self.with_inputs or (rows is not None and name not in rows):
            return ()
        declared = self.with_inputs[name]
        if name not in inputs or set(inputs[name]) != set(declared):
            raise TaskError(
                f"task {name!r}: its head reads the inputs {', '.join(declared)}, and the model was called with "
                f"{', '.join(inputs.get(name, ())) or 'none'}. Call model(video, rows, inputs) with {name!r} in both."
            )
        if rows is not None and not len(rows[name]):
            return ({k: x.new_zeros(1, *x.shape[1:]) for k, x in inputs[name].items()},)
        return (dict(inputs[name]),)


def model_dims(backbone: Backbone, tasks: Mapping[str, Task], clip: ClipSpec) -> Dims:
    """The backbone's sizes with the number of prompts of every task filled in."""
    dims = backbone.dims(clip)
    return dataclasses.replace(dims, prompts={n: t.prompts for n, t in tasks.items()})
