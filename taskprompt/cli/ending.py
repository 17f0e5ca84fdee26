"""Running the command line: what is printed where a command ends early, and its exit status."""

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

    The status is 2 for what the user can mend, told in one line on standard error; 130 after an interrupt; and 1,
    without a word, where nobody reads the output any more."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold bytes that are no text
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
    """What is wrong with a command line, in one line; the whole help where nothing is given at all."""
    message = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if context is None or message.startswith("Usage:"):
        return message
    _, _, verb = context.command_path.partition(" ")
    told = " ".join(message.replace("Value error, ", "").split()).removesuffix(".")
    return f"{verb + ': ' if verb else ''}{told}{'' if told.endswith('?') else '.'} See {context.command_path} --help."


def _refuse(text: str) -> int:
    with suppress(OSError):  # nobody reads
        print(text if text.startswith("Usage:") else f"taskprompt: {text}", file=sys.stderr)
    return 2


def _flushed(status: int) -> int:
    """The status once all output is written. What cannot be is dropped: Python would try again, and complain."""
    output = sys.stdout
    try:
        if output is not None:  # None where the caller closed it
            output.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return status or 1 if error.errno == errno.EPIPE else _refuse(f"the output: {error.strerror}.")
    return status
