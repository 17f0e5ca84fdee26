"""Running the command line: output and exit status when a command fails or is interrupted."""

import errno
import io
import os
import sys
from contextlib import suppress

import typer

from taskprompt.core.errors import TaskPromptError

UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # of click, which typer does not name


def run_app(app: typer.Typer) -> None:
    """Run the command of sys.argv, then exit.

    The status is 2 for an error that the user can fix, printed in one line on standard error; 130 after an interrupt;
    and 1, without a message, if the output pipe is closed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may contain invalid UTF-8
    try:
        status = app(prog_name="taskprompt", standalone_mode=False)
    except TaskPromptError as error:
        status = _refuse(error.text)
    except UsageError as error:
        status = _refuse(usage_problem(error))
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        where = "the output" if error.filename is None else os.fsdecode(error.filename)
        status = _refuse(f"{where}: {error.strerror}.")
    sys.exit(_flushed(status or 0))


def usage_problem(error: Exception) -> str:
    """The error in a command line, in one line; the whole help if no arguments are given."""
    message = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if context is None or message.startswith("Usage:"):
        return message
    _, _, verb = context.command_path.partition(" ")
    told = " ".join(message.replace("Value error, ", "").split()).removesuffix(".")
    return f"{verb + ': ' if verb else ''}{told}{'' if told.endswith('?') else '.'} See {context.command_path} --help."


def _refuse(text: str) -> int:
    with suppress(OSError):  # closed pipe
        print(text if text.startswith("Usage:") else f"taskprompt: {text}", file=sys.stderr)
    return 2


def _flushed(status: int) -> int:
    """Flush all output and return the status. Output that cannot be written is dropped, else Python would retry."""
    output = sys.stdout
    try:
        if output is not None:  # None where the caller closed it
            output.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return status or 1 if error.errno == errno.EPIPE else _refuse(f"the output: {error.strerror}.")
    return status
