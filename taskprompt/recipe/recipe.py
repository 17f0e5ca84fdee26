"""Recipe: all that a run is, in one yaml."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from taskprompt.core.augment import Augment
from taskprompt.core.balancer import Balancer
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.labeler import Labeler
from taskprompt.core.metrics import Metric, undeclared
from taskprompt.core.model import Backbone, Prompter, model_dims
from taskprompt.core.normalization import Normalization, beside
from taskprompt.core.source import Source
from taskprompt.core.spec import Spec
from taskprompt.core.task import Task
from taskprompt.core.tracker import Tracker
from taskprompt.labels.join import labels_of
from taskprompt.recipe.checks import Checks
from taskprompt.recipe.files import read, validate
from taskprompt.recipe.runtime import Runtime
from taskprompt.recipe.shown import recipe_html, recipe_text
from taskprompt.recipe.weights import Weights


class Stage(Spec):
    """Which tasks, what is frozen, how long, which rate."""

    steps: int = Field(ge=1)  # optimizer steps
    tasks: tuple[str, ...] | None = None  # null: all that can read one of its sources
    sources: tuple[str, ...] | None = None  # null: all of the recipe
    freeze: tuple[str, ...] = ()  # parts kept as they are, in eval mode: encoder, heads.depth, encoder.blocks.0
    feature_cache: str | None = None  # folder that keeps the output of a frozen encoder; null: computed every time
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"  # all three take `lr`, `weight_decay` and `betas`
    lr: float = Field(default=1e-4, gt=0)  # peak; follows a half-period cosine to `final_lr`
    final_lr: float = Field(default=0.0, ge=0)  # rate at the end of the cosine
    warmup: int = Field(default=0, ge=0)  # steps of linear rise from 0
    weight_decay: float = Field(default=0.05, ge=0)  # not on biases, norms and prompts
    betas: tuple[float, float] = (0.9, 0.999)  # the first is SGD's momentum
    clip_norm: float | None = Field(default=1.0, gt=0)  # gradient norm; null: unclipped
    accumulate: int = Field(default=1, ge=1)  # batches an optimizer step
    mixup: float = Field(default=0.0, ge=0)  # alpha: clips with class labels alone are blended in pairs; 0: never
    ema: float | None = Field(default=None, gt=0, lt=1)  # decay of the averaged weights, which are then evaluated

    @field_validator("betas")
    @classmethod
    def _decays(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise SpecError(f"found {list(value)}, expected two numbers from 0 on and below 1, such as [0.9, 0.999].")
        return value

    @model_validator(mode="after")
    def _warms_up_within(self) -> "Stage":
        if self.warmup > self.steps:
            raise SpecError(
                f"warmup: found {self.warmup}, but the stage has {self.steps} steps, so it would never reach lr. "
                "Lower warmup, or raise steps."
            )
        return self


class Test(Spec):
    """How held-out videos are measured by `evaluate` and `report`. While training, their middle clip is."""

    __test__: ClassVar[bool] = False  # pytest would take it for tests
    clips: int = Field(
        default=1, ge=1, le=1000
    )  # of a video, spread evenly, whose outputs are merged (`of_video` tasks)


class Best(Spec):
    """Which checkpoints are the best ones: those are kept beside the last, and named by --checkpoint best."""

    metric: str  # held-out source/task/metric, as in held_out.jsonl: real/action/top1
    mode: Literal["max", "min"] | None = None  # which way is better; null: as the task says
    keep: int = Field(default=1, ge=1)  # how many


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise SpecError(
            f"found the name {name!r}, expected letters, digits, _ and -: modules and files are called by it."
        )
    return name


Name = Annotated[str, AfterValidator(_plain_name)]


def _fixed() -> Balancer:
    return Balancer.model_validate({})


def _tensorboard() -> dict[str, Tracker]:
    return {"tensorboard": Tracker.model_validate({"kind": "tensorboard"})}


class Recipe(Spec):
    """All settings of a run, in one yaml file."""

    seed: int = Field(default=0, ge=0)  # of initial weights, order, augmentation and dropout
    clip: ClipSpec = ClipSpec()  # how clips are cut, and what the model sees of them
    augment: Augment = Augment()  # what is done to training clips; a source may have an `augment` of its own
    sources: dict[Name, Source] = Field(min_length=1)  # name -> source to train on
    held_out: dict[Name, Source] = {}  # sources to evaluate on; learned tasks are measured where their labels are given
    test: Test = Test()  # how `evaluate` and `report` measure the held-out sources
    backbone: Backbone  # what turns pixels into features
    weights: Weights | None = None  # the checkpoint that the model, or parts of it, start from; null: from scratch
    prompter: Prompter  # how the tasks' prompts come to be
    tasks: dict[Name, Task] = Field(min_length=1)  # name -> task; it reads the label of its name, or `label`
    labelers: dict[Name, Labeler] = {}  # name -> what `taskprompt label` makes labels with, in this order
    balancer: Balancer = Field(default_factory=_fixed)  # how the tasks' losses are joined
    trackers: dict[Name, Tracker] = Field(default_factory=_tensorboard)  # name -> what shows its training; {}: none
    stages: tuple[Stage, ...] = Field(min_length=1)  # one after the other, each with an optimizer of its own
    runtime: Runtime = Runtime()  # where and how it runs
    evaluate_every: int | None = Field(default=None, ge=1)  # steps; null: not while training
    save_every: int | None = Field(default=None, ge=1)  # steps; null: at the end of a stage alone
    keep: int = Field(default=2, ge=1)  # newest checkpoints to keep
    best: Best | None = None  # the best checkpoints to keep too; each evaluation then saves one
    record_clips: bool = False  # list the keys of every step's clips in the run's clips.jsonl
    max_skipped: float = Field(default=0.1, ge=0, le=1)  # share of samples that may be unusable before the run stops

    @model_validator(mode="after")
    def _names_agree(self, info: ValidationInfo) -> "Recipe":
        context: dict[str, Any] = info.context or {}
        if not context.get("draft") and (problems := Checks(self, context.get("check_sources", True)).problems()):
            raise SpecError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _normalized_as_trained(self) -> "Recipe":
        object.__setattr__(self, "backbone", self.backbone.normalized_as(self.normalization()))
        return self

    def __repr__(self) -> str:
        return recipe_text(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return recipe_html(self)

    @classmethod
    def load(cls, path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> "Recipe":
        """The recipe in a yaml file, with 'a.b=value' overrides. Raises RecipeError with every problem found."""
        return validate(read(path, overrides), str(path), cls)

    def normalization(self) -> Normalization | None:
        """What its weights, or else its backbone's model, state of mean and std; None: nothing. Raises SpecError."""
        stated = beside(self.weights.path) if self.weights and self.weights.has_encoder() else None
        return stated or self.backbone.normalization()

    def dims(self):
        """The sizes of this recipe's model."""
        return model_dims(self.backbone, self.tasks, self.clip)

    def tasks_of(self, name: str, source: Source) -> dict[str, Task]:
        """The tasks that can read the source of this name: it gives all labels that they need, and is one of theirs."""
        known = set(labels_of(source))
        usable = {n: t for n, t in self.tasks.items() if t.sources is None or name in t.sources}
        return {n: t for n, t in usable.items() if known.issuperset(t.required_labels(n))}

    def learned(self) -> dict[str, Task]:
        """The tasks that the model knows in the end: a stage trains them, or their head comes with the weights."""
        names = {n for stage in self.stages for n in self.stage_tasks(stage)}
        names |= self.weights.heads(self.tasks) if self.weights else set()
        return {n: t for n, t in self.tasks.items() if n in names}

    def measured(self, name: str, source: Source) -> dict[str, Task]:
        """The tasks that the source of this name can test: learned, and with all that they need there."""
        usable = self.tasks_of(name, source)
        return {n: t for n, t in self.learned().items() if n in usable}

    def metric(self, path: str) -> Metric:
        """The metric at source/task/metric, as its task declares it; else one of which only the name is known."""
        task, _, name = path.partition("/")[2].partition("/")
        return self.tasks[task].metric(name) if task in self.tasks else undeclared(name or path)

    def ranking(self) -> Best | None:
        """`best` with its mode settled."""
        return self.best and self.best.model_copy(
            update={"mode": self.best.mode or self.metric(self.best.metric).better}
        )

    def stage_tasks(self, stage: Stage) -> tuple[str, ...]:
        """The names of a stage's tasks."""
        if stage.tasks is not None:
            return stage.tasks
        usable = {n for name, source in self.stage_sources(stage).items() for n in self.tasks_of(name, source)}
        return tuple(n for n in self.tasks if n in usable)

    def stage_sources(self, stage: Stage) -> dict[str, Source]:
        """A stage's sources."""
        return {n: s for n, s in self.sources.items() if stage.sources is None or n in stage.sources}
