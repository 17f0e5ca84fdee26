"""Task: turns a label into a target; owns a head, a loss, metrics, and a picture."""

from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from taskprompt.core.clip import ClipSpec, ClipView
from taskprompt.core.errors import LayoutError, SampleError, SpecError, mistakes_of
from taskprompt.core.metrics import Metric, declared, undeclared
from taskprompt.core.spec import Spec
from taskprompt.core.types import Dims, Sample, plain
from taskprompt.core.values import is_sequence


class Array(NamedTuple):
    """Shape in axis names, 'frames height width 3'. A name is a field of the task, else of Dims."""

    axes: str
    dtype: str = "float32"


class Task(Spec):
    """Base of all tasks. Weights live only in the module that `head` builds."""

    home: ClassVar[str] = "taskprompt.tasks"
    layout: ClassVar[dict[str, Array]]  # the arrays that `target` returns
    inputs: ClassVar[dict[str, Array]] = {}  # the arrays that `read_inputs` returns: what the head reads of a sample
    labelled: ClassVar[bool] = True  # False: it needs no label and trains on every clip of its sources
    of_video: ClassVar[bool] = False  # does the label hold for the whole video, whatever part of it a clip shows?
    label: str = ""  # the label it reads; default: its name in the recipe
    sources: tuple[str, ...] | None = None  # sources and held-out sources to use; null: all that give its labels
    needs_global_batch: ClassVar[bool] = (
        False  # does the loss compare samples? Then it gets those of all workers at once
    )
    trivial_name: ClassVar[str] = "best constant"  # of what `trivial` answers, in tables: majority class, mean depth
    supports_mixup: ClassVar[bool] = False  # may clips be blended, and the losses of their labels with them (mixup)?
    prompts: int = Field(default=1, ge=0, le=100_000)  # prompt tokens it owns; 0: reads shared features alone

    @abstractmethod
    def target(self, label: Any, sample: Sample) -> dict[str, np.ndarray]:
        """The arrays of `layout` for one sample; raises SampleError for a label that cannot be used.

        label is None for a task that is not `labelled`; if it has views, label and sample are those of a view."""

    def views(self, clip: ClipSpec, rng: np.random.Generator) -> tuple[ClipView, ...]:
        """The views that a label-free task samples from a video, always the same number. Default: none; then `target`
        gets the clip itself.

        Each view is one more row of the batch, for this task only; the views of a clip are adjacent rows. rng: seeded
        by clip, task and epoch; in evaluation, by clip and task."""
        return ()

    def input_labels(self) -> tuple[str, ...]:
        """The labels that `read_inputs` reads; default: one for each of `inputs`, under the same name.

        A sample that lacks one of them is treated like a sample without the task's own label."""
        return tuple(self.inputs)

    def read_inputs(self, sample: Sample) -> dict[str, np.ndarray]:
        """The arrays of `inputs` for one sample that has all `input_labels`, in training and at test time.

        Default: those labels as they are. In `predict` the sample lacks the task's own label. Raises SampleError for a
        label that cannot be used."""
        return {name: plain(sample.labels[name]) for name in self.inputs}

    @abstractmethod
    def head(self, dims: Dims) -> nn.Module:
        """A module called head(prompt, features): m n d or None, Features -> output, m first.

        Where the task declares `inputs`, it is called head(prompt, features, inputs); inputs: name -> m ... tensor. A
        batch without a row for the task runs the head on one sample with inputs of zeros, so that its weights take part
        in every step: output and gradients have to be finite then, too."""

    @abstractmethod
    def loss(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """m ..., m ... -> m: one number a labelled sample, never averaged over samples."""

    def metrics(self, output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """m ..., m ... -> m each, the unit in the name; NaN where a sample has nothing to measure."""
        return {}

    def measures(self) -> tuple[Metric, ...]:
        """The metrics that the meter gives; of those that are not declared, only the names are known."""
        return ()

    def meter(self):
        """A torchmetrics Metric with update(output, target) and compute() -> dict; for what a mean cannot say."""
        from taskprompt.core.meters import Means

        return Means(self.metrics)

    def declared(self) -> dict[str, Metric]:
        """name -> metric, of `measures`. Raises SpecError for what is no tuple of metrics with names of their own."""
        return declared(type(self).__name__, self.measures())

    def metric(self, name: str) -> Metric:
        """The metric of this name, as it is declared; where it is not, one of which only the name is known."""
        return self.declared().get(name) or undeclared(name)

    def merge(self, outputs: Tensor) -> Tensor:
        """v m ... -> m ...: merges the outputs for v test clips per video; default: the mean.

        Called only if `of_video`; other tasks are measured on the middle clip."""
        return outputs.mean(0)

    def has_test_clips(self) -> bool:
        """Are the outputs for several test clips of a video merged? Not if the head has inputs, those of one clip."""
        return self.labelled and self.of_video and not self.inputs

    def trivial(self, target: dict[str, Tensor]) -> Tensor | None:
        """The constant output, 1 ..., that fits m training targets best: majority class, mean depth. None: no such."""
        return None

    def perfect(self, target: dict[str, Tensor]) -> Tensor | None:
        """The output, m ..., that reproduces the target: what a label's picture is drawn from. None: no such."""
        return None

    def picture(self, output: Tensor, video: np.ndarray) -> np.ndarray | None:
        """One sample's output and its frames, t h w c uint8 -> frames a person would look at, same form."""
        return None

    def answer(self, output: Tensor) -> Any:
        """One sample's output as plain JSON, for `predict`; None where only a picture makes sense."""
        return None

    def unlisted(self, values: Collection[str]) -> dict[str, str]:
        """Of the values that its label has in a data set, those that it cannot use -> what to say of each."""
        return {}

    def unseen(self, values: Collection[str]) -> tuple[str, ...]:
        """What it would learn that is not among the values its label has in all of the training data."""
        return ()

    def label_name(self, name: str) -> str:
        """The label that the task called `name` in a recipe reads; empty for a label-free task."""
        return (self.label or name) if self.labelled else ""

    def required_labels(self, name: str) -> tuple[str, ...]:
        """All labels that a sample needs to train or measure the task called `name`."""
        return (*([self.label_name(name)] if self.labelled else []), *self.input_labels())

    def shape(self, array: Array, dims: Dims) -> tuple[int, ...]:
        """The sizes behind an array's axis names."""
        return tuple(self._axis(axis, dims) for axis in array.axes.split())

    def _axis(self, axis: str, dims: Dims) -> int:
        if axis.isdigit():
            return int(axis)
        for owner in (self, dims):
            if isinstance(size := getattr(owner, axis, None), int):
                return size
        raise LayoutError(
            f"{type(self).__name__} declares the axis {axis!r}, which is neither a field of the task "
            "nor one of frames, height, width, dim. Add the field or write the number."
        )

    def blank(self, dims: Dims) -> dict[str, np.ndarray]:
        """A target of zeros, which fills the columns of samples without this label."""
        return {k: np.zeros(self.shape(a, dims), a.dtype) for k, a in self.layout.items()}

    def blank_inputs(self, dims: Dims) -> dict[str, np.ndarray]:
        """Inputs of zeros: for samples without them, and for heads that run on no sample at all."""
        return {k: np.zeros(self.shape(a, dims), a.dtype) for k, a in self.inputs.items()}

    def checked_target(self, name: str, sample: Sample, dims: Dims) -> dict[str, np.ndarray] | None:
        """The target in its layout's shapes and types, or None where the sample lacks the label."""
        label = sample.labels.get(self.label_name(name)) if self.labelled else None
        if self.labelled and label is None:
            return None
        return self.target_of(name, label, sample, dims)

    def target_of(self, name: str, label: Any, sample: Sample, dims: Dims) -> dict[str, np.ndarray]:
        """The target for this label, in its layout's shapes and types."""
        return self._checked(name, "layout", lambda: self.target(plain(label), sample), sample.key, dims)

    def checked_views(self, name: str, clip: ClipSpec, rng: np.random.Generator, key: str = "") -> list[ClipView]:
        """What `views` returns. Raises LayoutError for what is no tuple of views that go with the clip."""
        where = f"{type(self).__name__}.views"
        with mistakes_of(name, where, lambda: [key] if key else []):
            found: Any = self.views(clip, rng)
        if not is_sequence(found) or not all(isinstance(view, ClipView) for view in found):
            raise LayoutError(f"task {name!r}: views returned {found!r}, expected a tuple of ClipView. Fix {where}.")
        if found and self.inputs:
            raise LayoutError(f"task {name!r}: has `inputs`, and views, which have no labels. Remove one of them.")
        try:
            for view in found:
                view.spec(clip)
        except SpecError as error:
            raise LayoutError(f"task {name!r}: {error.text} Fix {where}, or the recipe.") from None
        return list(found)

    def checked_inputs(self, name: str, sample: Sample, dims: Dims) -> dict[str, np.ndarray] | None:
        """The inputs in their declared shapes and types, or None where the sample lacks one of `input_labels`."""
        if any(sample.labels.get(label) is None for label in self.input_labels()):
            return None
        return self._checked(name, "inputs", lambda: self.read_inputs(sample), sample.key, dims)

    def _checked(
        self, name: str, attribute: Literal["layout", "inputs"], call: Callable[[], Any], key: str, dims: Dims
    ) -> dict[str, np.ndarray]:
        """What a method returns for a sample, in the shapes and types that the class attribute declares."""
        declared: dict[str, Array] = getattr(self, attribute)
        method = {"layout": "target", "inputs": "read_inputs"}[attribute]
        where = f"{type(self).__name__}.{method}"
        try:
            with mistakes_of(name, f"{where}, or raise SampleError to skip the clip", lambda: [key]):
                found = call()
        except SampleError as error:
            raise SampleError(f"task {name!r}: {error.text}") from error
        if set(found) != set(declared):
            raise LayoutError(
                f"task {name!r}: {method} returned {sorted(found)}, its {attribute} has {sorted(declared)}. "
                f"Make {where} return exactly these arrays."
            )
        arrays = {k: np.asarray(found[k]) for k in declared}
        for k, array in declared.items():
            if arrays[k].shape != (expected := self.shape(array, dims)):
                raise LayoutError(
                    f"task {name!r}, sample {key!r}: {method} {k!r} has shape {arrays[k].shape}, its {attribute} "
                    f"{array.axes!r} is {expected}. Fix {where}."
                )
        return {k: v.astype(declared[k].dtype, copy=False) for k, v in arrays.items()}
