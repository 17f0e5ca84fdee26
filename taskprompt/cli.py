"""The command line: thin verbs over the Python API. Errors are one line, exit status 2, and no traceback."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from taskprompt.cli_bench import bench
from taskprompt.cli_jobs import Overrides, RecipeFile, job, submit
from taskprompt.cli_results import ResultFolder, interrupts_told, measured, tell_trained
from taskprompt.cli_tables import compare, profile
from taskprompt.cli_weights import convert
from taskprompt.core.errors import TaskPromptError
from taskprompt.progress import Console

app = typer.Typer(
    help="Multi-task prompts for video transformers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
SweepFile = Annotated[Path, typer.Argument(help="A sweep's yaml file.", show_default=False)]
RunPlace = Annotated[str, typer.Argument(help="What was given to `fit --out`.", show_default=False)]
Checkpoint = Annotated[str, typer.Option(help="last, best, or a name such as step-00000100.")]
Cluster = Annotated[str, typer.Option(help="local: Ray on this machine; none: this process; or an address.")]


@app.command()
def check(
    recipe: RecipeFile,
    overrides: Overrides = None,
    data: Annotated[bool, typer.Option("--data", help="List all clips, and read some of every source.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Print the recipe with every default.")] = False,
) -> None:
    """Say `ok` and what a recipe is, or every error in it."""
    import taskprompt as tp

    print(tp.check(recipe, overrides or (), data=data).text(full), end="")


@app.command()
def kinds() -> None:
    """List everything that a recipe can name, with one line each."""
    from taskprompt.core.catalogue import interfaces, one_line
    from taskprompt.core.spec import kinds, resolve

    table = Table(box=None, pad_edge=False)
    for column in ("interface", "kind", "what it is"):
        table.add_column(column, overflow="fold" if column == "what it is" else "ignore")
    for interface in interfaces():
        for kind in kinds(interface):
            table.add_row(interface.__name__.lower(), kind, one_line(resolve(kind, interface)))
    Console(markup=False, width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def schema(out: Annotated[Path | None, typer.Argument(help="A file; the terminal if none is given.")] = None) -> None:
    """Write the JSON schema of recipes, for completion and checks in editors."""
    from taskprompt.core.catalogue import recipe_schema

    text = json.dumps(recipe_schema(), indent=1)
    if out is None:
        print(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")
        print(out)


@app.command()
def fit(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Annotated[str, typer.Option(help="The run's folder, or an address: s3://bucket/run.")] = "runs/run",
    cluster: Cluster = "local",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace what the folder holds.")] = False,
) -> None:
    """Train a recipe."""
    import taskprompt as tp

    where = None if cluster == "none" else cluster
    with interrupts_told():
        run = tp.fit(tp.Recipe.load(recipe, overrides or ()), out, cluster=where, resume=resume, fresh=fresh)
    tell_trained(run)


@app.command()
def tune(
    sweep: SweepFile,
    overrides: Overrides = None,
    out: Annotated[str, typer.Option(help="The sweep's folder.")] = "runs/sweep",
    cluster: Annotated[str, typer.Option(help="local: Ray on this machine; or an address.")] = "local",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the trials that have not ended.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace what the folder holds.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Resume, and go on with the trials that failed, too.")] = False,
) -> None:
    """Train a recipe many times, with other values each time, and find the best."""
    import taskprompt as tp

    run = tp.tune(tp.Sweep.load(sweep, overrides or ()), out, cluster=cluster, resume=resume, fresh=fresh, retry=retry)
    rows, best = run.trials(), run.best()
    states = {state: sum(r.state == state for r in rows) for state in ("done", "stopped", "failed", "running")}
    words = ", ".join(f"{n} {'unfinished' if s == 'running' else s}" for s, n in states.items() if n)
    print(f"tuned: {run.path}: {len(rows)} of {run.sweep.count} trials: {words}")
    if len(rows) < run.sweep.count or states["running"]:
        print("the time is up; go on with --resume")
    if best is not None:
        print(f"best: trial {best.name}, {run.sweep.metric} {best.last:.4g}: {run.path / 'best.yaml'}")


@app.command()
def evaluate(
    run: RunPlace, checkpoint: Checkpoint = "last", cluster: Cluster = "none", out: ResultFolder = None
) -> None:
    """Measure a run on its held-out sources, beside trivial predictors."""
    measured(run, checkpoint, None if cluster == "none" else cluster, out)


@app.command()
def predict(
    run: RunPlace,
    clip: Annotated[Path, typer.Argument(help="A video.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="A folder; beside the video if none is given.")] = None,
    checkpoint: Checkpoint = "last",
) -> None:
    """Show what a run's model sees in a video: a json, and a video for each task."""
    import taskprompt as tp

    found = tp.predict(run, clip, out, checkpoint=checkpoint)
    short = {task: answer for task, answer in found["answers"].items() if len(json.dumps(answer)) < 1000}
    print(json.dumps({"answers": short, "files": found["files"]}, indent=1))  # the json file holds all of it


@app.command()
def report(
    run: Annotated[
        str,
        typer.Argument(
            help="What was given to `fit --out` or `tune --out`, or a recipe whose labelers have answered.",
            show_default=False,
        ),
    ],
    checkpoint: Checkpoint = "last",
    out: ResultFolder = None,
) -> None:
    """Write the page of a run, of a sweep, or of a recipe's label tables."""
    import taskprompt as tp
    from taskprompt.train.storage import is_uri

    page, there = tp.report(run, checkpoint=checkpoint, out=out), is_uri(run) and out is None
    print(f"{page.name} is in {run}; bring it here with taskprompt fetch" if there else f"open {page}")


@app.command()
def fetch(
    run: RunPlace,
    folder: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    checkpoint: Checkpoint = "last",
) -> None:
    """Copy a run from its storage into a folder here."""
    import taskprompt as tp

    print(f"fetched: {tp.fetch(run, folder, checkpoint=checkpoint).path}")


@app.command()
def render(recipe: RecipeFile, overrides: Overrides = None, cluster: Cluster = "local") -> None:
    """Draw every clip of a recipe's `scenes` sources that have a cache, ahead of training."""
    from taskprompt.core.recipe import Recipe
    from taskprompt.progress import progress
    from taskprompt.runtime.render import render as draw

    loaded = Recipe.load(recipe, overrides or ())
    with progress(None) as watch:
        done = draw(loaded, cluster, watch)
    for name, (drawn, found, folder) in done.items():
        print(f"{name}: drew {drawn} clips, found {found}, in {folder}")


@app.command()
def label(
    recipe: RecipeFile,
    overrides: Overrides = None,
    only: Annotated[list[str] | None, typer.Option(help="A labeler's name; all if none is given.")] = None,
    limit: Annotated[int | None, typer.Option(help="Clips to ask about, at most; all if none is given.", min=1)] = None,
    cluster: Annotated[str, typer.Option(help="local: Ray on this machine; or an address.")] = "local",
) -> None:
    """Make labels with a recipe's labelers: captions, embeddings of texts, or a model's of your own."""
    import taskprompt as tp

    for name, counts in tp.label(recipe, only or (), overrides=overrides or (), limit=limit, cluster=cluster).items():
        there, made, failed = (counts.get(k, 0) for k in ("there", "made", "failed"))
        print(f"{name}: {counts['clips']} clips: made {made} labels, found {there}, failed {failed}")
        for flag, count in counts.items():
            if ": " in flag:
                print(f"  {flag} {count}")


app.command()(compare)
app.command()(profile)
app.command()(convert)
app.command()(submit)
app.add_typer(job, name="job")
app.add_typer(bench, name="bench")


def main() -> None:
    """The command `taskprompt`."""
    try:
        app()
    except TaskPromptError as error:
        print(f"taskprompt: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
