"""Recipe: all that a run is, in one yaml."""

import dataclasses
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from taskprompt.core.augment import Augment
from taskprompt.core.balancer import Balancer
from taskprompt.core.errors import SourceError, SpecError
from taskprompt.core.labeler import Labeler
from taskprompt.core.model import Backbone, Prompter, model_dims
from taskprompt.core.normalization import Normalization, beside
from taskprompt.core.runtime import Runtime
from taskprompt.core.shown import recipe_html, recipe_text
from taskprompt.core.source import ClipSpec, Source
from taskprompt.core.spec import Spec, nearest, resolve
from taskprompt.core.task import Task
from taskprompt.core.weights import Weights


class Stage(Spec):
    """Which tasks, what is frozen, how long, which rate."""

    steps: int = Field(ge=1)  # optimizer steps
    tasks: tuple[str, ...] | None = None  # null: all whose label its sources give
    sources: tuple[str, ...] | None = None  # null: all of the recipe
    freeze: tuple[str, ...] = ()  # parts kept as they are, in eval mode: encoder, heads.depth, encoder.blocks.0
    features: str | None = None  # folder that keeps what a frozen encoder makes of each clip; null: made every time
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


class Best(Spec):
    """Which checkpoints are the best ones: those are kept beside the last, and named by --checkpoint best."""

    metric: str  # held-out source/task/metric, as in held_out.jsonl: real/action/top1
    mode: Literal["max", "min"] = "max"  # which way is better
    keep: int = Field(default=1, ge=1)  # how many


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise SpecError(
            f"found the name {name!r}, expected letters, digits, _ and -: modules and files are called by it."
        )
    return name


Name = Annotated[str, AfterValidator(_plain_name)]


def _fixed() -> Balancer:
    return resolve("fixed", Balancer)()  # type: ignore[return-value]


class Recipe(Spec):
    """One yaml a run."""

    seed: int = Field(default=0, ge=0)  # of initial weights, order, augmentation and dropout
    clip: ClipSpec = ClipSpec()  # how clips are cut, and what the model sees of them
    augment: Augment = Augment()  # what is done to training clips; a source may have an `augment` of its own
    sources: dict[Name, Source] = Field(min_length=1)  # name -> source to train on
    held_out: dict[Name, Source] = {}  # sources to evaluate on; learned tasks are measured where their label is given
    backbone: Backbone  # what turns pixels into features
    weights: Weights | None = None  # the checkpoint that the backbone starts from; null: from scratch
    prompter: Prompter  # how the tasks' prompts come to be
    tasks: dict[Name, Task] = Field(min_length=1)  # name -> task; it reads the label of its name, or `label`
    labelers: dict[Name, Labeler] = {}  # name -> what `taskprompt label` makes labels with, in this order
    balancer: Balancer = Field(default_factory=_fixed)  # how the tasks' losses are joined
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
        unread = [*self._source_problems()]
        elsewhere = info.context is not None and info.context.get("elsewhere", False)
        problems = [*([] if elsewhere else unread), *self._shape_problems(), *self._held_out_problems()]
        if not problems and not unread:  # names can be compared only where all sources say what they offer
            problems = [*self._stage_problems(), *self._task_problems(), *self._run_problems()]
        if problems:
            raise SpecError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _normalized_as_trained(self) -> "Recipe":
        object.__setattr__(self, "backbone", self.backbone.normalized_as(self.normalization()))
        return self

    def _source_problems(self):
        for group in ("sources", "held_out"):
            for name, source in getattr(self, group).items():
                try:
                    source.known()
                except SourceError as error:
                    yield f"{group}.{name}: {error}"

    def _stage_problems(self):
        for i, stage in enumerate(self.stages):
            for word, known in (("tasks", self.tasks), ("sources", self.sources)):
                for name in getattr(stage, word) or ():
                    if name not in known:
                        what = f"{name!r} is not one of the recipe's {word}{nearest(name, known)}"
                        yield f"stages.{i}.{word}: {what} Known: {', '.join(known)}."
            everywhere = {n for s in self.sources.values() for n in self.tasks_of(s)}
            here = {n for s in self.stage_sources(stage).values() for n in self.tasks_of(s)}
            if stage.mixup and not any(self.tasks[n].mixes for n in self.stage_tasks(stage) if n in self.tasks):
                yield f"stages.{i}.mixup: found {stage.mixup}, but no task here mixes: action does. Remove it."
            yield from (f"stages.{i}.features: {what}" for what in self._features_problems(stage) if stage.features)
            if not self.stage_tasks(stage):
                yield f"stages.{i}: its sources label no task of the recipe. Add a source, or set `only` of these."
            for name in stage.tasks or ():
                if name in everywhere - here:
                    yield f"stages.{i}: task {name!r} has no label in this stage's sources. Add a source that gives it."

    def _features_problems(self, stage: Stage):
        if "encoder" not in stage.freeze:
            yield "are kept of a frozen encoder alone. Add encoder to freeze, or remove features."
        try:
            self.prompter.check(dataclasses.replace(self.dims(), hosts=False))
        except SpecError:
            yield "this prompter puts prompts into the encoder, whose features change with them. Remove features."
        if stage.mixup:
            yield "clips that mixup blends never come again. Remove mixup or features."
        if self.runtime.parallel == "fsdp":
            yield "cannot be kept where weights are sharded. Set runtime.parallel to ddp, or remove features."
        for name, source in self.stage_sources(stage).items():
            if not (source.augment or self.augment).still:
                what = f"the clips of {name!r} are changed at random, so none comes again"
                yield f"{what}. Give it `augment: {{jitter: false, scale: [1, 1], flip: 0}}`, or remove features."

    def _task_problems(self):
        for name, task in self.tasks.items():
            label = task.label_name(name)
            offered = sorted({n for s in self.sources.values() for n in s.kept()})
            if label not in offered:
                reasons = "".join(f" sources.{n}: {why}." for n, s in self.sources.items() if (why := s.lacks(label)))
                yield (
                    f"tasks.{name}: reads the label {label!r}, which no source gives{nearest(label, offered)} "
                    f"Given: {', '.join(offered) or 'none'}.{reasons} Set `label`, or let a source give it (`only`)."
                )
        for group in ("sources", "held_out"):
            for name, source in getattr(self, group).items():
                offered = source.known()
                for label in (n for n in source.only or () if n not in offered):
                    what = f"{label!r} is not a label of this source{nearest(label, offered)}"
                    yield f"{group}.{name}.only: {what} Offered: {', '.join(offered) or 'none'}."

    def _run_problems(self):
        everything = {**self.sources, **self.held_out}
        for labeler, spec in self.labelers.items():
            for name in (n for n in spec.sources or () if n not in everything):
                yield f"labelers.{labeler}.sources: {name!r} is not a source{nearest(name, everything)}"
        yield from self.weights.problems(self.tasks) if self.weights else ()
        if self.best:
            source, _, rest = self.best.metric.partition("/")
            task = rest.partition("/")[0]
            what = f"best.metric: found {self.best.metric!r}"
            if self.best.metric.count("/") != 2:
                yield f"{what}, expected source/task/metric, as in real/action/top1."
            elif source not in self.held_out:
                known = ", ".join(self.held_out) or "none"
                yield f"{what}: {source!r} is not held out{nearest(source, self.held_out)} Held out: {known}."
            elif task not in self.measured(self.held_out[source]):
                known = ", ".join(self.measured(self.held_out[source])) or "none"
                yield f"{what}: {task!r} is not measured on {source!r}. Measured there: {known}."
        for name in self.runtime.data_tasks if isinstance(self.runtime.data_tasks, dict) else ():
            if name not in self.sources:
                yield f"runtime.data_tasks: {name!r} is not a source{nearest(name, self.sources)}"

    def _held_out_problems(self):
        for name, source in self.held_out.items():
            # Of training; recipes that were written out name them with their default.
            for field in ("quota", "repeats", "mirror", "shuffle", "augment"):
                value = getattr(source, field)
                if value != type(source).model_fields[field].default:
                    yield (
                        f"held_out.{name}.{field}: found {value!r}, but held-out clips are shown once, as they are. "
                        "Remove it."
                    )

    def _shape_problems(self):
        try:
            dims = model_dims(self.backbone, self.tasks, self.clip)
        except SpecError as error:
            yield f"backbone: {error}"
            return
        try:
            self.prompter.check(dims)
        except SpecError as error:
            yield f"prompter: {error}"

    def __repr__(self) -> str:
        return recipe_text(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return recipe_html(self)

    @classmethod
    def load(cls, path, overrides=()) -> "Recipe":
        """The recipe in a yaml file, with 'a.b=value' overrides. Raises RecipeError with every problem found."""
        from taskprompt.core.loading import load_recipe

        return load_recipe(path, overrides)

    def normalization(self) -> Normalization | None:
        """What its weights, or else its backbone's model, state of mean and std; None: nothing. Raises SpecError."""
        stated = beside(self.weights.path) if self.weights else None
        return stated or self.backbone.normalization()

    def dims(self):
        """The sizes of this recipe's model."""
        return model_dims(self.backbone, self.tasks, self.clip)

    def tasks_of(self, source: Source) -> dict[str, Task]:
        """The tasks whose label a source gives."""
        return {n: t for n, t in self.tasks.items() if t.label_name(n) in source.kept()}

    def learned(self) -> dict[str, Task]:
        """The tasks that the model knows in the end: a stage trains them, or their head comes with the weights."""
        names = {n for stage in self.stages for n in self.stage_tasks(stage)}
        return {n: t for n, t in self.tasks.items() if n in names or (self.weights and n == self.weights.head)}

    def measured(self, source: Source) -> dict[str, Task]:
        """The tasks that a source can test: learned, and labelled there."""
        labelled = self.tasks_of(source)
        return {n: t for n, t in self.learned().items() if n in labelled}

    def stage_tasks(self, stage: Stage) -> tuple[str, ...]:
        """The names of a stage's tasks."""
        if stage.tasks is not None:
            return stage.tasks
        labelled = {n for s in self.stage_sources(stage).values() for n in self.tasks_of(s)}
        return tuple(n for n in self.tasks if n in labelled)

    def stage_sources(self, stage: Stage) -> dict[str, Source]:
        """A stage's sources."""
        return {n: s for n, s in self.sources.items() if stage.sources is None or n in stage.sources}
