"""Ctrl-C and SIGTERM end training with one line: the step, and how to resume."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from taskprompt.core.errors import ClusterError, TaskPromptError
from taskprompt.runs import checkpoint
from taskprompt.runs.lock import logged
from taskprompt.runs.run import Run


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a scheduler or a cluster sends before SIGKILL."""


_received: list[int] = []  # signals since training began: Ray turns a Terminated into a plain KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """In this context SIGINT raises KeyboardInterrupt and SIGTERM raises Terminated, overriding libraries' handlers.

    Previous handlers are restored at the end. A signal that is ignored (nohup) stays ignored; threads other than the
    main one cannot receive signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        _received.append(number)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    heeded = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, stop) for s in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def stoppable(run: Run) -> Iterator[None]:
    """Around training: the message of an interrupt or a lost cluster gets the newest checkpoint and the command to
    resume."""
    _received.clear()
    with interruptible():
        try:
            yield
        except ClusterError as error:  # too many lost workers, or a lost cluster
            if checkpoint.latest(run.checkpoints) is not None:
                error.args = (f"{error.args[0]} At step {steps_made(run)}; {run.how_to_go_on()}",)
            raise
        except KeyboardInterrupt:
            with suppress(TaskPromptError):  # no network, or a full disk: use what is known locally
                run.pull()
            kind, word = (
                (Terminated, "terminated") if signal.SIGTERM in _received else (KeyboardInterrupt, "interrupted")
            )
            stop = kind(f"{word} at step {steps_made(run)}; {run.how_to_go_on()}")
            with suppress(TaskPromptError), logged(run.path, 0) as log:
                log.log(logging.WARNING, "%s", stop)
            raise stop from None


def steps_made(run: Run) -> int:
    """The last step in metrics.jsonl."""
    try:
        return max((r["step"] for r in run.lines("metrics.jsonl")), default=0)
    except TaskPromptError:
        return 0
