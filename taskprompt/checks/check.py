"""`check`: all errors in a recipe at once, before anything starts; or a ten-line summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskprompt.checks.data import listing_problems, look, table_problems
from taskprompt.checks.model import build_meta, trained_problems
from taskprompt.core.errors import RecipeError, SpecError, TaskPromptError
from taskprompt.core.spec import kind_of
from taskprompt.labels.join import labels_of
from taskprompt.recipe.checks import Checks
from taskprompt.recipe.files import draft, dump, read
from taskprompt.recipe.recipe import Recipe
from taskprompt.weights.report import LoadReport, pixels
from taskprompt.weights.start import check_weights


@dataclass(frozen=True)
class Checked:
    """A recipe without errors, and its summary."""

    recipe: Recipe
    where: str  # the file, or 'recipe'
    parameters: dict[str, int]  # encoder, prompter and heads -> how many
    weights: LoadReport | None = None  # how its `weights` would be loaded
    data: tuple[str, ...] = ()  # one line per source, if its data was read

    def text(self, full: bool = False) -> str:
        """As text: `ok` and the summary. full: the recipe with every default, as yaml, and the rest as comments."""
        report = self.weights.text().splitlines() if self.weights else []
        if full:
            return dump(self.recipe) + "".join(f"# {line}\n" for line in (*report, *self.data))
        return "\n".join([f"ok: {self.where}", *self.summary(), *report, *self.data]) + "\n"

    def summary(self) -> list[str]:
        """Ten lines."""
        r, clip = self.recipe, self.recipe.clip
        spread = "spread over the video" if clip.fps is None else f"{clip.fps:g} fps"
        labels = {n: _some(labels_of(s)) or "no labels" for n, s in r.sources.items()}
        sources = (f"{n} ({kind_of(type(s))}, {s.quota} per batch: {labels[n]})" for n, s in r.sources.items())
        held = (f"{n} ({kind_of(type(s))}: {_some(r.measured(n, s))})" for n, s in r.held_out.items())
        tasks = (f"{n} ({kind_of(type(t))})" for n, t in r.tasks.items())
        stages = (f"{s.steps} steps of {_some(r.stage_tasks(s), 3)}, lr {s.lr:g}" for s in r.stages)
        workers = f"{r.runtime.workers} workers" if isinstance(r.runtime.workers, int) else f"{r.runtime.workers}"
        every = f"every {r.evaluate_every} steps" if r.evaluate_every else "not while training"
        best = f", best by {r.best.metric}" if r.best else ""
        heads, encoder, prompter = (_count(self.parameters.get(p, 0)) for p in ("heads", "encoder", "prompter"))
        rows = {
            "clip": f"{clip.frames} frames of {clip.height} x {clip.width}, {spread}",
            "sources": _some(sources, 4, "; "),
            "held out": _some(held, 4, "; ") or "none",
            "backbone": f"{kind_of(type(r.backbone))}, {encoder} parameters, {pixels(r.backbone, r.normalization())}",
            "weights": _started_from(r),
            "prompter": f"{kind_of(type(r.prompter))}, {prompter} parameters",
            "tasks": f"{_some(tasks, 8)}; heads of {heads} parameters",
            "stages": _some(stages, 4, "; "),
            "evaluated": every + best,
            "runtime": f"{workers.replace('1 workers', '1 worker')}, {'GPU' if r.runtime.gpu else 'CPU'}",
        }
        return [f"  {name:10} {text}" for name, text in rows.items()]


def check(recipe: Recipe | str | Path, overrides: Sequence[str] = (), *, data: bool = False) -> Checked:
    """Check a recipe before it is trained; a path is read with 'a.b=value' overrides.

    data: also list all clips of its sources, and read some of each as in training. Raises RecipeError with every
    problem: fields, names that do not match, missing tables, parts to freeze that the model does not have, metrics that
    are not measured, weights that do not fit."""
    made, problems, wrong = recipe, list[str](), tuple[str, ...]()
    where = "recipe" if isinstance(recipe, Recipe) else str(recipe)
    if not isinstance(made, Recipe):
        made, problems, wrong = draft(read(made, tuple(overrides)), where, Recipe)
    elif overrides:
        raise RecipeError("overrides", ["need a recipe's file. Pass them to Recipe.load."])
    if made is None:
        raise RecipeError(where, problems)
    names = Checks(made, check_sources=True)
    found = names.problems()
    model, report, notes = None, None, list[str]()
    if not any(line.startswith(("backbone:", "prompter:")) for line in found):
        model, more = build_meta(made)
        found += more
    if model is not None:
        # If labels are missing, a stage's tasks are derived from the known labels.
        found += trained_problems(_with_all_tasks(made, names) if names.unread else made, model)
        try:
            report = check_weights(_without_unknown_head(made))
        except TaskPromptError as error:
            found.append(error.text if error.text.startswith("weights.") else f"weights: {error.text}")
        found += table_problems(made)
    found += _quotas(made)
    unread = {line.split(":")[0] for line in names.unread}
    found += [line for line in listing_problems(made) if line.split(":")[0] not in unread]
    if data and model is not None:
        notes, more = look(made)
        found += more
    problems += [line for line in dict.fromkeys(found) if not wrong or not line.startswith(wrong)]
    if problems or model is None:
        raise RecipeError(where, problems)
    sizes = {n: sum(p.numel() for p in part.parameters()) for n, part in model.named_children()}
    return Checked(made, where, sizes, report, tuple(notes))


def _without_unknown_head(recipe: Recipe) -> Recipe:
    """Without a head for an unknown task, so that its weights can still be checked."""
    if recipe.weights is None or recipe.weights.head in (None, *recipe.tasks):
        return recipe
    return recipe.model_copy(update={"weights": recipe.weights.model_copy(update={"head": None})})


def _with_all_tasks(recipe: Recipe, names: Checks) -> Recipe:
    """The recipe with the known tasks of each stage written out."""
    stages = tuple(s.model_copy(update={"tasks": tuple(names.stage_tasks(s))}) for s in recipe.stages)
    return recipe.model_copy(update={"stages": stages})


def _started_from(recipe: Recipe) -> str:
    weights = recipe.weights
    if weights is None:
        return "none: from scratch"
    return f"{_some(weights.parts)} of {weights.path}" if weights.parts else weights.path


def _quotas(recipe: Recipe) -> list[str]:
    try:
        recipe.runtime.worker_counts({n: s.quota for n, s in recipe.sources.items()})
    except SpecError as error:
        return [error.text]
    return []


def _some(entries, most: int = 6, between: str = ", ") -> str:
    listed = list(entries)
    left = len(listed) - most
    return between.join(listed[:most]) + (f"{between}and {left} more" if left > 0 else "")


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number}"
