"""Events: frozen records that a job emits while it runs. Match on the class.

`watch` of `fit`, `evaluate`, `label` and `tune` is called with each of them, and so are trackers. Ignore unknown
classes: later versions may add some."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Change = Literal["begun", "resumed", "measured", "done", "stopped", "failed"]  # of a trial


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class Step(Event):
    """An optimizer step was made."""

    step: int  # counted from 1 over all stages
    stage: int  # counted from 0
    loss: float  # the balancer's total over all tasks
    losses: Mapping[str, float]  # task -> mean over its labelled samples on all workers; tasks without a label: absent
    grad_norm: float  # before clipping
    lr: float
    clips_per_s: float  # since the job began, on all workers; 0 at its first step
    steps_per_s: float  # since the job began; 0 at its first step
    left: int  # steps to the end of the last stage

    def scalars(self) -> dict[str, float]:
        """Curve -> value: loss, loss/TASK, grad_norm, lr, clips_per_s."""
        losses = {f"loss/{name}": value for name, value in self.losses.items()}
        rest = {"grad_norm": self.grad_norm, "lr": self.lr, "clips_per_s": self.clips_per_s}
        return {"loss": self.loss, **losses, **rest}


@dataclass(frozen=True, slots=True)
class Evaluated(Event):
    """The held-out sources were measured during training."""

    step: int
    metrics: Mapping[str, float]  # source/task/metric -> value


@dataclass(frozen=True, slots=True)
class Saved(Event):
    """A checkpoint was saved."""

    step: int
    checkpoint: str  # its name, such as step-00000100


@dataclass(frozen=True, slots=True)
class WeightsLoaded(Event):
    """The model starts from a pretrained checkpoint."""

    text: str  # what was loaded, and what was not


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """A warning for the user; the job continues."""

    text: str
    step: int | None = None  # None: before the first step of this job


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """A job waits for resources of the cluster."""

    text: str  # what is missing


@dataclass(frozen=True, slots=True)
class WorkerLost(Event):
    """A worker or its node was lost; the job starts again from the newest checkpoint."""

    error: str
    left: int  # restarts left, including this one


@dataclass(frozen=True, slots=True)
class ScalingUp(Event):
    """The job stopped at a checkpoint and restarts, since there are resources for more workers now."""

    workers: int  # before the restart


@dataclass(frozen=True, slots=True)
class Evaluating(Event):
    """Progress of an evaluation."""

    source: str
    clips: int  # measured since the last event of this source
    total: int  # clips of the source


@dataclass(frozen=True, slots=True)
class Rendering(Event):
    """Progress of `taskprompt render`."""

    source: str
    clips: int  # rendered, or found rendered, since the last event of this source
    total: int  # clips of the source


@dataclass(frozen=True, slots=True)
class Labeling(Event):
    """Progress of a labeler."""

    labeler: str
    clips: int  # since the last event of this labeler
    seen: int  # clips since it began
    total: int  # largest number of clips to label
    seconds: float  # since it began
    there: int  # answers that its table had before
    made: int
    failed: int
    tokens: int  # read and written by the model


@dataclass(frozen=True, slots=True)
class TrialChanged(Event):
    """The state of a sweep's trial changed."""

    trial: str  # its name, such as 003
    change: Change
    values: Mapping[str, Any]  # field of the recipe -> value
    step: int = 0  # of the newest measurement; 0: none yet
    value: float | None = None  # of the sweep's metric at that step
    error: str = ""  # why it failed
    best: tuple[str, float] | None = None  # trial and value; the best so far


Watch = Callable[[Event], None]
