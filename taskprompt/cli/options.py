"""Arguments and options that several commands share. Nothing here imports torch or ray."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskprompt import __version__
from taskprompt.core.events import Watch

if TYPE_CHECKING:
    from taskprompt.progress import Console
    from taskprompt.recipe.recipe import Recipe

ADDRESS = "TASKPROMPT_ADDRESS"  # http://host:8265 sets --address; any other value sets --cluster


def _of_ray(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """The value, unless it is a dashboard's address from the environment, which is not valid for --cluster."""
    source = context.get_parameter_source(str(parameter.name))
    from_environment = source is not None and source.name == "ENVIRONMENT"
    return str(parameter.default) if from_environment and value.startswith(("http://", "https://")) else value


def _on_ray(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """The same for a command that needs Ray."""
    if value == "none":
        raise typer.BadParameter("this command needs Ray. Give local, auto, or host:port of a running head.")
    return _of_ray(context, parameter, value)


def _checkpoints(context: typer.Context, incomplete: str) -> list[str]:
    """Values of --checkpoint, for shell completion."""
    folders = Path(*context.args[:1], "checkpoints").glob("step-*")  # the first positional argument is the run
    return [n for n in ("last", "best", *sorted(f.name for f in folders)) if n.startswith(incomplete)]


def readable(file: Path) -> Path:
    """The path of a yaml file that can be read: reported before torch is imported. Raises RecipeError."""
    from taskprompt.recipe.files import read_file

    read_file(file)
    return file


def check_run(place: str) -> None:
    """Report a folder of this machine that is no run before torch is imported. Raises CheckpointError."""
    from taskprompt.runs.place import check_is_run, is_uri

    if not is_uri(place):
        path = Path(place.removeprefix("file://")).absolute()
        check_is_run(path, str(path))


def check_result(place: str) -> None:
    """The same for what has a report: a run, a sweep, or a recipe."""
    if Path(place).suffix in (".yaml", ".yml"):
        readable(Path(place))
    elif not (Path(place) / "sweep.yaml").is_file():
        check_run(place)


def _one_of_both(context: typer.Context, parameter: typer.CallbackParam, value: bool) -> bool:
    """The value, unless both --resume and --fresh are given: reported before anything is read."""
    other = "fresh" if parameter.name == "resume" else "resume"
    if value and context.params.get(other):
        raise typer.BadParameter("--resume continues the run in a folder, and --fresh replaces it. Give one of them.")
    return value


RecipeFile = Annotated[Path, typer.Argument(help="A recipe's yaml file.", show_default=False)]
SweepFile = Annotated[Path, typer.Argument(help="A sweep's yaml file.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Argument(help="Overrides, as key=value.", show_default=False)]
RunPlace = Annotated[str, typer.Argument(help="The run's folder or URI.", show_default=False)]
Checkpoint = Annotated[
    str, typer.Option(help="last, best, or a name such as step-00000100.", autocompletion=_checkpoints)
]
Cluster = Annotated[
    str,
    typer.Option(
        help="local: Ray on this machine; none: this process; or a cluster's address.", envvar=ADDRESS, callback=_of_ray
    ),
]
RayCluster = Annotated[
    str, typer.Option(help="local: Ray on this machine; or a cluster's address.", envvar=ADDRESS, callback=_on_ray)
]
Address = Annotated[
    str, typer.Option(help="Address of the cluster's dashboard, http://host:8265.", show_default=False, envvar=ADDRESS)
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint.", callback=_one_of_both)]
ResumeTrials = Annotated[
    bool, typer.Option("--resume", help="Continue the trials that have not ended.", callback=_one_of_both)
]
Retry = Annotated[bool, typer.Option("--retry", help="Resume, and also continue the trials that failed.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace the contents of the folder.", callback=_one_of_both)]


def _quiet(context: typer.Context, value: bool) -> bool:
    return value or bool(context.find_root().params.get("quiet"))


def _version(value: bool) -> None:
    if value:
        print(f"taskprompt {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)]
# Allowed before and after the command.
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show only results and errors, no progress.", callback=_quiet)
]


def watcher(quiet: bool) -> Watch | None:
    """The API's `watch` argument: None, which shows progress; with --quiet, a function that ignores events."""
    return (lambda event: None) if quiet else None


def load(recipe: Path, overrides: list[str] | None, *, check_sources: bool = True) -> "Recipe":
    """The recipe in a file with overrides. An unreadable file is reported before torch is imported."""
    from taskprompt.recipe.files import read, validate

    data = read(recipe, tuple(overrides or ()))
    from taskprompt.recipe.recipe import Recipe

    return validate(data, str(recipe), Recipe, check_sources=check_sources)


def output(width: int) -> "Console":
    """A console for tables: as wide as the terminal, or `width` if there is none; without markup."""
    from taskprompt.progress import Console

    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else width)
