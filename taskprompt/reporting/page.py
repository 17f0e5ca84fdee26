"""The page of a run: one self-contained html file."""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from taskprompt.core.errors import SourceError
from taskprompt.core.files import ELSEWHERE, write
from taskprompt.core.spec import kind_of
from taskprompt.core.text import shown
from taskprompt.data.local import plain_chunks
from taskprompt.distributed.context import WorkerContext
from taskprompt.evaluation.evaluate import evaluate, write_evaluation
from taskprompt.evaluation.load import load_model
from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import dump
from taskprompt.recipe.recipe import Recipe
from taskprompt.recipe.runtime import torch_threads
from taskprompt.reporting import facts, plots
from taskprompt.reporting.strips import Strip, strips
from taskprompt.reporting.tables import Line, evaluation_lines
from taskprompt.runs import checkpoint
from taskprompt.runs.records import Evaluation, checked
from taskprompt.runs.run import Run


def write_page(run: Run, folder: Path | None = None) -> Path:
    """Write report.html: recipe, measurements, curves, predictions and skipped clips; returns its path.

    folder: where to write it; None: the run's. A run without an evaluation of its newest weights is evaluated first, in
    this process. Missing parts (held-out sources, a checkpoint, pictures) are omitted; a missing held-out source is
    listed with its error."""
    recipe, folder = run.recipe, folder or run.path
    missing: list[str] = []
    evaluation, pictures = None, []
    if checkpoint.latest(run.checkpoints) is None:
        missing.append("This run has no checkpoint yet, so there are no metrics and predictions.")
    elif not recipe.held_out:
        missing.append("The recipe has no held-out sources, so nothing was evaluated. Add sources under held_out.")
    else:
        device = recipe.runtime.device(fallback=True)
        try:
            with torch_threads(recipe.runtime.threads):
                evaluation = current_evaluation(run, WorkerContext(plain_chunks, device=device), folder)
                pictures = strips(load_model(run, device), recipe, device)
        except SourceError as error:
            missing.append(f"A held-out source could not be read. {error.text}")
    page = environment().get_template("page.html.jinja").render(context(run, recipe, evaluation, pictures, missing))
    return write(folder / "report.html", page, ELSEWHERE)


def current_evaluation(run: Run, context: WorkerContext, folder: Path) -> dict[str, Any]:
    """evaluation.json of the run's newest weights; evaluated now if it is missing, damaged or outdated."""
    for path in (folder / "evaluation.json", run.path / "evaluation.json"):
        try:
            found = checked(path.read_bytes(), Evaluation)
        except (OSError, ValueError):
            continue
        if (found["checkpoint"], found.get("test_clips", 1)) == (run.checkpoint().name, run.recipe.test.clips):
            return found
    found = evaluate(run, context)
    write_evaluation(found, folder)
    return found


def environment() -> Environment:
    """Templates of this package; every value is printable and escaped, and an undefined name is an error."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: shown(value) if type(value) is str else value,  # but not Markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def context(
    run: Run, recipe: Recipe, evaluation: Mapping[str, Any] | None, pictures: list[Strip], missing: list[str]
) -> dict[str, Any]:
    """The template's data."""
    steps, held_out = run.lines("metrics.jsonl"), run.lines("held_out.jsonl")
    sources, grown = facts.source_facts(recipe), plots.held_out_panels(held_out, recipe.metric)
    every, kept = facts.parameters(build_model(recipe), recipe.learned())
    lines = evaluation_lines(evaluation) if evaluation else []
    return {
        "name": run.path.name,
        "recipe": recipe,
        "yaml": dump(recipe),
        "learned": list(recipe.learned()),
        "backbone": kind_of(type(recipe.backbone)),
        "prompter": kind_of(type(recipe.prompter)),
        "prompted": [n for n, t in recipe.tasks.items() if t.prompts],
        "parameters": facts.short(every),
        "kept": facts.short(kept),
        "batch": " and ".join(dict.fromkeys(str(facts.clips_a_step(recipe, stage)) for stage in recipe.stages)),
        "speed": facts.speed(run, recipe),
        "sources": sources,
        "quotas": [f"{s.quota} {s.name}" for s in sources if s.quota],
        "checkpoint": evaluation["checkpoint"] if evaluation else "",
        "test_clips": evaluation.get("test_clips", 1) if evaluation else 1,
        "tables": nested(lines),
        "losses": inline(plots.loss_panels(steps)),
        "rates": inline(plots.rate_panel(steps)),
        "progress": inline([p for p in grown if p.first]),
        "more_progress": inline([p for p in grown if not p.first]),
        "colours": plots.source_colours(held_out),
        "strips": {source: list(group) for source, group in groupby(pictures, lambda s: s.source)},
        "skips": facts.skips(run, evaluation),
        "versions": facts.versions(),
        "missing": [*missing, *(facts.unmeasured(evaluation) if evaluation else [])],
        "warnings": [f"Step {w['step']}: {w['text']}" for w in run.lines("warnings.jsonl")],
    }


def nested(lines: list[Line]) -> dict[str, dict[str, list[Line]]]:
    """source -> task -> its lines."""
    return {
        source: {task: list(of_task) for task, of_task in groupby(of_source, lambda x: x.task)}
        for source, of_source in groupby(lines, lambda x: x.source)
    }


def inline(panels: list[plots.Panel]) -> list[dict[str, Any]]:
    """Panels whose svg is inserted unescaped."""
    return [{"title": p.title, "note": p.note, "svg": Markup(p.svg)} for p in panels]
