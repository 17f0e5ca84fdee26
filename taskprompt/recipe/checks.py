"""What is wrong between the fields of a recipe, each valid by itself: names that do not agree, sizes that do not fit.

A source whose folder or tables cannot be read is one problem; all others are found as far as its labels are known: a
missing table has those of the labeler that writes it, or any."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from taskprompt.core.errors import SpecError, nearest, told
from taskprompt.recipe.source_labels import Labels, source_labels
from taskprompt.recipe.task_checks import has_views, task_problems

if TYPE_CHECKING:
    from taskprompt.recipe.recipe import Recipe, Stage

TRAINING = (
    "quota",
    "repeats",
    "allow_flip",
    "permute_labels",
    "augment",
)  # fields that mean nothing for held-out sources

OWN_FOLDERS = ("checkpoints", "not_finite", "ray")  # of a run; a tracker writes into a folder of its name


class Checks:
    """The problems of one recipe. check_sources=False: its data may lie on other machines, so missing data is none."""

    def __init__(self, recipe: "Recipe", check_sources: bool):
        self.recipe = recipe
        self.unread: list[str] = []
        self.labels: dict[str, dict[str, Labels]] = {"sources": {}, "held_out": {}}
        writers = {spec.table: spec for spec in recipe.labelers.values()}
        for group, labels in self.labels.items():
            for name, source in getattr(recipe, group).items():
                labels[name], unread = source_labels(name, source, writers)
                if unread is not None and check_sources:
                    self.unread.append(f"{group}.{name}: {unread}")

    def problems(self) -> list[str]:
        """All of them, one line each."""
        return [
            *self.unread,
            *self._shapes(),
            *self._held_out(),
            *self._test_clips(),
            *self._stages(),
            *self._tasks(),
            *self._only(),
            *self._labelers(),
            *self._names(),
            *self._best(),
        ]

    def tasks_of(self, labels: Labels) -> list[str]:
        """The tasks that may be able to read a source: see Recipe.tasks_of."""
        usable = {n: t for n, t in self.recipe.tasks.items() if t.sources is None or labels.source in t.sources}
        return [n for n, t in usable.items() if all(map(labels.may_give, t.required_labels(n)))]

    def stage_labels(self, stage: "Stage") -> list[Labels]:
        """Of the sources of a stage."""
        return [v for n, v in self.labels["sources"].items() if stage.sources is None or n in stage.sources]

    def stage_tasks(self, stage: "Stage") -> list[str]:
        """The tasks of a stage that the recipe has."""
        here = {n for labels in self.stage_labels(stage) for n in self.tasks_of(labels)}
        return [n for n in self.recipe.tasks if n in (here if stage.tasks is None else stage.tasks)]

    def measured(self, name: str) -> list[str]:
        """The tasks that a held-out source can test."""
        recipe = self.recipe
        learned = {n for stage in recipe.stages for n in self.stage_tasks(stage)}
        learned |= recipe.weights.heads(recipe.tasks) if recipe.weights else set()
        return [n for n in self.tasks_of(self.labels["held_out"][name]) if n in learned]

    def _shapes(self) -> Iterator[str]:
        try:
            dims = self.recipe.dims()
        except Exception as error:
            yield f"backbone: {told(error)}"
            return
        try:
            self.recipe.prompter.check(dims)
        except Exception as error:
            yield f"prompter: {told(error)}"

    def _held_out(self) -> Iterator[str]:
        for name, source in self.recipe.held_out.items():
            for field in TRAINING:
                value = getattr(source, field)
                if value != type(source).model_fields[field].default:  # as recipes that were written out have it
                    what = f"held_out.{name}.{field}: found {value!r}, but held-out clips are shown once, as they are."
                    yield f"{what} Remove it."

    def _test_clips(self) -> Iterator[str]:
        clips = self.recipe.test.clips
        merged = {n for n, t in self.recipe.tasks.items() if t.has_test_clips()}
        if clips > 1 and not any(merged & set(self.measured(name)) for name in self.recipe.held_out):
            what = "no held-out source measures a task whose label holds for the whole video, as that of action does"
            yield f"test.clips: found {clips}, but {what}. Remove it."

    def _stages(self) -> Iterator[str]:
        recipe = self.recipe
        everywhere = {n for labels in self.labels["sources"].values() for n in self.tasks_of(labels)}
        for i, stage in enumerate(recipe.stages):
            for word, known in (("tasks", recipe.tasks), ("sources", recipe.sources)):
                for name in (n for n in getattr(stage, word) or () if n not in known):
                    what = f"{name!r} is not one of the recipe's {word}{nearest(name, known)}"
                    yield f"stages.{i}.{word}: {what} Known: {', '.join(known)}."
            here, names = {n for v in self.stage_labels(stage) for n in self.tasks_of(v)}, self.stage_tasks(stage)
            if stage.mixup and names and not any(recipe.tasks[n].supports_mixup for n in names):
                yield f"stages.{i}.mixup: found {stage.mixup}, but no task here mixes: action does. Remove it."
            if stage.feature_cache:
                yield from (f"stages.{i}.feature_cache: {what}" for what in self._features(stage))
            if not names and not stage.tasks and all(n in recipe.sources for n in stage.sources or ()):
                yield f"stages.{i}: its sources label no task of the recipe. Add a source, or set `only` of these."
            for name in (n for n in stage.tasks or () if n in everywhere - here):
                yield f"stages.{i}: task {name!r} has no label in this stage's sources. Add a source that gives it."

    def _features(self, stage: "Stage") -> Iterator[str]:
        recipe = self.recipe
        if "encoder" not in stage.freeze:
            yield "are kept of a frozen encoder alone. Add encoder to freeze, or remove feature_cache."
        try:
            recipe.prompter.check(dataclasses.replace(recipe.dims(), accepts_prompts=False))
        except SpecError:
            yield "this prompter puts prompts into the encoder, whose features change with them. Remove feature_cache."
        for name in (n for n in self.stage_tasks(stage) if has_views(n, recipe.tasks[n], recipe.clip)):
            yield f"the views of {name!r} are random in every epoch, so no feature is used twice. Remove feature_cache."
        if stage.mixup:
            yield "clips that mixup blends never come again. Remove mixup or feature_cache."
        if recipe.runtime.parallel == "fsdp":
            yield "cannot be kept where weights are sharded. Set runtime.parallel to ddp, or remove feature_cache."
        for name, source in recipe.stage_sources(stage).items():
            if not (source.augment or recipe.augment).still:
                what = f"the clips of {name!r} are changed at random, so none comes again"
                yield f"{what}. Give it `augment: {{jitter: false, scale: [1, 1], flip: 0}}`, or remove feature_cache."

    def _tasks(self) -> Iterator[str]:
        recipe = self.recipe
        yield from task_problems(
            recipe.tasks, recipe.clip, self.labels["sources"], self.labels["held_out"], self._why_missing
        )

    def _why_missing(self, source: str, label: str) -> str:
        try:
            return self.recipe.sources[source].why_missing(label)
        except Exception:  # told already
            return ""

    def _only(self) -> Iterator[str]:
        for group, sources in self.labels.items():
            for name, labels in sources.items():
                for label in (n for n in labels.only or () if not labels.may_have(n)):
                    what = f"{label!r} is not a label of this source{nearest(label, labels.names)}"
                    yield f"{group}.{name}.only: {what} Offered: {', '.join(labels.names) or 'none'}."

    def _labelers(self) -> Iterator[str]:
        everything = self.labels["sources"] | self.labels["held_out"]
        for name, spec in self.recipe.labelers.items():
            for source in (n for n in spec.sources or () if n not in everything):
                yield f"labelers.{name}.sources: {source!r} is not a source{nearest(source, everything)}"
            covered = [v for n, v in everything.items() if spec.sources is None or n in spec.sources]
            for label in spec.reads():
                if covered and not any(v.may_have(label) or label in v.planned for v in covered):
                    known = sorted({n for v in covered for n in (*v.names, *v.planned)})
                    what = f"labelers.{name}: reads the label {label!r}, which none of its sources has"
                    yield f"{what}{nearest(label, known)} Known: {', '.join(known) or 'none'}."

    def _names(self) -> Iterator[str]:
        recipe = self.recipe
        yield from recipe.weights.problems(recipe.tasks) if recipe.weights else ()
        tasks = recipe.runtime.data_workers
        for name in tasks if isinstance(tasks, dict) else ():
            if name not in recipe.sources:
                yield f"runtime.data_workers: {name!r} is not a source{nearest(name, recipe.sources)}"
        for name in (n for n in recipe.trackers if n in OWN_FOLDERS):
            yield f"trackers.{name}: a run has a folder {name!r} of its own. Choose another name."

    def _best(self) -> Iterator[str]:
        if not (best := self.recipe.best):
            return
        (source, _, rest), held_out = best.metric.partition("/"), self.recipe.held_out
        task, what = rest.partition("/")[0], f"best.metric: found {best.metric!r}"
        if best.metric.count("/") != 2:
            yield f"{what}, expected source/task/metric, as in real/action/top1."
        elif source not in held_out:
            known = ", ".join(held_out) or "none"
            yield f"{what}: {source!r} is not held out{nearest(source, held_out)} Held out: {known}."
        elif task not in (measured := self.measured(source)):
            known = ", ".join(measured) or "none"
            yield f"{what}: {task!r} is not measured on {source!r}{nearest(task, measured)} Measured there: {known}."
        elif best.mode and self._better(best.metric) not in (None, best.mode):
            yield f"best.mode: found {best.mode!r}, but {rest!r} is better the other way. Remove mode."

    def _better(self, metric: str) -> str | None:
        """Which way a metric is better; None where its task does not say, or its code fails, which is told already."""
        try:
            return self.recipe.metric(metric).better
        except Exception:
            return None
