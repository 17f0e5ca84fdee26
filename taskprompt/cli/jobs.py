"""The commands for jobs: `submit`, and the group `job`."""

from pathlib import Path
from typing import Annotated

import typer

from taskprompt.cli.options import Address, Fresh, Overrides, Quiet, RecipeFile, Resume, output

Id = Annotated[str, typer.Argument(help="The job's id, as printed by `submit`.", show_default=False)]


def submit(
    recipe: RecipeFile,
    address: Address,
    out: Annotated[str, typer.Option(help="The run's folder, absolute, on the cluster.", show_default=False)],
    overrides: Overrides = None,
    resume: Resume = False,
    fresh: Fresh = False,
    ship: Annotated[list[Path] | None, typer.Option(help="A file or folder to send with the job.")] = None,
    python: Annotated[str | None, typer.Option(help="Python on the head; default: that of its workers.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow the job.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe on a remote cluster: submit it as a job, and follow its log."""
    import taskprompt as tp

    sent = tp.submit(
        recipe,
        overrides or (),
        address=address,
        out=out,
        resume=resume,
        fresh=fresh,
        ship=ship or (),
        python=python,
    )
    print(f"submitted {sent.id} to {sent.address}; the run: {sent.place}", flush=True)
    if detach:
        _tell_how(sent)
    else:
        _follow(sent, quiet)


job = typer.Typer(help="Follow, stop and list submitted jobs.", no_args_is_help=True, rich_markup_mode=None)


@job.command("logs")
def logs(
    id: Id,
    address: Address,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the job ends.")] = False,
) -> None:
    """Print the log of a job so far."""
    import taskprompt as tp

    found = tp.Job.open(id, address)
    if follow:
        _follow(found)
    else:
        print(found.logs(), end="")


@job.command("follow")
def follow_job(id: Id, address: Address) -> None:
    """Print a job's log from its start, until the job ends: `job logs --follow`."""
    import taskprompt as tp

    _follow(tp.Job.open(id, address))


@job.command("stop")
def stop(id: Id, address: Address) -> None:
    """Stop a job. `submit --resume` continues from its newest checkpoint."""
    import taskprompt as tp

    found = tp.Job.open(id, address)
    print(f"{found.id}: {found.stop()}; the run: {found.place}")


@job.command("list")
def list_jobs(address: Address) -> None:
    """List the jobs that taskprompt sent to a cluster, newest first."""
    from rich.table import Table

    import taskprompt as tp

    table = Table(box=None, pad_edge=False)
    for column in ("job", "status", "run"):
        table.add_column(column, overflow="fold")
    for found, status in tp.jobs(address).items():
        table.add_row(found.id, status, found.place)
    output(160).print(table)


def _follow(sent, quiet: bool = False) -> None:
    try:
        sent.follow((lambda text: None) if quiet else None)
    except KeyboardInterrupt:
        print(f"\nno longer following {sent.id}; the job continues", flush=True)
        _tell_how(sent)
        raise typer.Exit(130) from None
    print(f"{sent.id} succeeded; the run: {sent.place}")


def _tell_how(sent) -> None:
    print(f"follow: taskprompt job follow {sent.id} --address {sent.address}")
    print(f"stop:   taskprompt job stop {sent.id} --address {sent.address}")
