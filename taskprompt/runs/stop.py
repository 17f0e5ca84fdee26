"""Ctrl-C and SIGTERM end a training with a line that says where it stands and how to go on."""

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
    """SIGTERM: what a scheduler or a cluster sends before it kills."""


_received: list[int] = []  # signals since the training began: Ray turns a Terminated into a plain KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """In here SIGINT raises KeyboardInterrupt and SIGTERM raises Terminated, whatever handlers a library has set.

    What was set before comes back at the end. A signal that is ignored (nohup) stays ignored; threads other than the
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
    """Around a training: an interrupt, or the loss of a cluster, leaves with the newest checkpoint and the command that
    goes on in its text."""
    _received.clear()
    with interruptible():
        try:
            yield
        except ClusterError as error:  # workers lost too often, or the cluster itself
            if checkpoint.latest(run.checkpoints) is not None:
                error.args = (f"{error.args[0]} At step {steps_made(run)}; {run.how_to_go_on()}",)
            raise
        except KeyboardInterrupt:
            with suppress(TaskPromptError):  # no network, a full disk: then as much as is known here
                run.pull()
            kind, word = (
                (Terminated, "terminated") if signal.SIGTERM in _received else (KeyboardInterrupt, "interrupted")
            )
            stop = kind(f"{word} at step {steps_made(run)}; {run.how_to_go_on()}")
            with suppress(TaskPromptError), logged(run.path, 0) as log:
                log.log(logging.WARNING, "%s", stop)
            raise stop from None


def steps_made(run: Run) -> int:
    """The last step that metrics.jsonl has."""
    try:
        return max((r["step"] for r in run.lines("metrics.jsonl")), default=0)
    except TaskPromptError:
        return 0
