"""The command line: thin commands over the Python API. Errors are one line, exit status 2, and no traceback."""

import json
from pathlib import Path
from typing import Annotated

import typer

from taskprompt.cli.bench import bench
from taskprompt.cli.compare import compare, profile
from taskprompt.cli.convert import convert
from taskprompt.cli.ending import run_app
from taskprompt.cli.jobs import job, submit
from taskprompt.cli.kinds import kinds, schema
from taskprompt.cli.options import (
    Checkpoint,
    Cluster,
    Fresh,
    Overrides,
    Quiet,
    RayCluster,
    RecipeFile,
    Resume,
    ResumeTrials,
    Retry,
    RunPlace,
    SweepFile,
    Version,
    check_result,
    check_run,
    load,
    readable,
    watcher,
)
from taskprompt.cli.results import ResultFolder, interrupts_told, measured, tell_trained

app = typer.Typer(
    help="Multi-task prompts for video transformers.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text: rich takes as long to import as all the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def global_options(version: Version = False, quiet: Quiet = False) -> None:
    """Multi-task prompts for video transformers."""


@app.command()
def check(
    recipe: RecipeFile,
    overrides: Overrides = None,
    data: Annotated[bool, typer.Option("--data", help="List all clips, and read some of every source.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Print the recipe with every default.")] = False,
) -> None:
    """Check a recipe: print `ok` and a summary, or every error in it."""
    from taskprompt.recipe.files import read

    read(recipe, tuple(overrides or ()))  # an unreadable file is reported at once, without importing PyTorch
    import taskprompt as tp
    from taskprompt.core.text import say

    say(tp.check(recipe, overrides or (), data=data).text(full).rstrip())


@app.command()
def fit(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Annotated[str, typer.Option(help="The run's folder, or a URI: s3://bucket/run.")] = "runs/run",
    cluster: Cluster = "local",
    resume: Resume = False,
    fresh: Fresh = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe."""
    loaded, where = load(recipe, overrides), None if cluster == "none" else cluster
    import taskprompt as tp

    with interrupts_told():
        run = tp.fit(loaded, out, cluster=where, resume=resume, fresh=fresh, watch=watcher(quiet))
    tell_trained(run)


@app.command()
def tune(
    sweep: SweepFile,
    overrides: Overrides = None,
    out: Annotated[str, typer.Option(help="The sweep's folder.")] = "runs/sweep",
    cluster: RayCluster = "local",
    resume: ResumeTrials = False,
    fresh: Fresh = False,
    retry: Retry = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep: train a recipe many times with different values, and find the best."""
    readable(sweep)
    import taskprompt as tp

    options = {"cluster": cluster, "resume": resume, "fresh": fresh, "retry": retry}
    run = tp.tune(tp.Sweep.load(sweep, overrides or ()), out, **options, watch=watcher(quiet))
    rows, best = run.trials(), run.best()
    states = {state: sum(r.state == state for r in rows) for state in ("done", "stopped", "failed", "running")}
    words = ", ".join(f"{n} {'unfinished' if s == 'running' else s}" for s, n in states.items() if n)
    print(f"tuned: {run.path}: {len(rows)} of {run.sweep.count} trials: {words}")
    if len(rows) < run.sweep.count or states["running"]:
        print("time budget exhausted; continue with --resume")
    if best is not None:
        print(f"best: trial {best.name}, {run.sweep.metric} {best.last:.4g}: {run.path / 'best.yaml'}")


@app.command()
def evaluate(
    run: RunPlace,
    checkpoint: Checkpoint = "last",
    cluster: Cluster = "none",
    out: ResultFolder = None,
    quiet: Quiet = False,
) -> None:
    """Evaluate a run on its held-out sources, and compare with trivial predictors."""
    check_run(run)
    measured(run, checkpoint, None if cluster == "none" else cluster, out, watcher(quiet))


@app.command()
def predict(
    run: RunPlace,
    clip: Annotated[Path, typer.Argument(help="A video.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The folder to write to; default: that of the video.")] = None,
    inputs: Annotated[Path | None, typer.Option(help="A json file of labels that heads read, such as boxes.")] = None,
    checkpoint: Checkpoint = "last",
) -> None:
    """Predict with a run's model for a video: writes a json, and a video for each task."""
    check_run(run)
    import taskprompt as tp

    found = tp.predict(run, clip, out, inputs=inputs, checkpoint=checkpoint)
    short = {task: answer for task, answer in found["answers"].items() if len(json.dumps(answer)) < 1000}
    left_out = {"left_out": found["left_out"]} if found["left_out"] else {}
    print(json.dumps({"answers": short, "files": found["files"], **left_out}, indent=1))  # the json file holds all


@app.command()
def report(
    run: Annotated[
        str,
        typer.Argument(
            help="The folder of a run or a sweep, or a recipe with label tables.",
            show_default=False,
        ),
    ],
    checkpoint: Checkpoint = "last",
    out: ResultFolder = None,
) -> None:
    """Write the html report of a run, of a sweep, or of a recipe's label tables."""
    check_result(run)
    import taskprompt as tp
    from taskprompt.runs.place import is_uri

    page, there = tp.report(run, checkpoint=checkpoint, out=out), is_uri(run) and out is None
    print(f"{page.name} is in {run}; copy it with taskprompt fetch" if there else f"open {page}")


@app.command()
def fetch(
    run: RunPlace,
    folder: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    checkpoint: Checkpoint = "last",
) -> None:
    """Copy a run from remote storage into a local folder."""
    check_run(run)
    import taskprompt as tp

    print(f"fetched: {tp.fetch(run, folder, checkpoint=checkpoint).path}")


@app.command()
def render(
    recipe: RecipeFile, overrides: Overrides = None, cluster: RayCluster = "local", quiet: Quiet = False
) -> None:
    """Render all clips of a recipe's `scenes` sources that have a cache, before training."""
    loaded = load(recipe, overrides)
    from taskprompt.progress import progress
    from taskprompt.runtime.labeling.render import render as draw

    with progress(watcher(quiet)) as watch:
        done = draw(loaded, cluster, watch)
    for name, (drawn, found, folder) in done.items():
        print(f"{name}: rendered {drawn} clips, found {found}, in {folder}")


@app.command()
def label(
    recipe: RecipeFile,
    overrides: Overrides = None,
    only: Annotated[list[str] | None, typer.Option(help="A labeler's name; default: all.")] = None,
    limit: Annotated[int | None, typer.Option(help="Largest number of clips to label; default: all.", min=1)] = None,
    cluster: RayCluster = "local",
    quiet: Quiet = False,
) -> None:
    """Make labels with a recipe's labelers: captions, text embeddings, or those of your own model."""
    readable(recipe)
    import taskprompt as tp

    changes, watch = overrides or (), watcher(quiet)
    made = tp.label(recipe, only or (), overrides=changes, limit=limit, cluster=cluster, watch=watch)
    for name, counts in made.items():
        there, made, failed = (counts.get(k, 0) for k in ("there", "made", "failed"))
        print(f"{name}: {counts['clips']} clips: made {made} labels, found {there}, failed {failed}")
        for flag, count in counts.items():
            if ": " in flag:
                print(f"  {flag} {count}")


app.command()(kinds)
app.command()(schema)
app.command()(compare)
app.command()(profile)
app.command()(convert)
app.command()(submit)
app.add_typer(job, name="job")
app.add_typer(bench, name="bench")


def main() -> None:
    """The command `taskprompt`."""
    run_app(app)


if __name__ == "__main__":
    main()
