"""A process in which an input is used: what it may not do is noticed, and how it ends is told in one word."""

import os
import re
import resource
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuzz_bytes import MARKER, MODULES

LIMIT = 2 << 30  # bytes over what the process takes before
NEVER = re.compile(  # events of Python's audit hooks
    r"subprocess\.Popen|os\.(system|exec|posix_spawn|spawn|fork|forkpty|kill|startfile|putenv)|pty\.spawn|webbrowser\.open"
    r"|socket\.(connect|bind|getaddrinfo|gethostbyname|sendto)|urllib\.Request|ctypes\.dlopen|pdb\.Pdb"
)
WRITES = {
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.symlink",
    "os.link",
    "os.chmod",
    "os.chown",
    "os.truncate",
}
NO_MEMORY = re.compile(r"unable to allocate|out of memory|not enough memory|bad_alloc|MemoryError", re.IGNORECASE)


class Watch:
    """Records the events of one input that no input may cause."""

    def __init__(self, folder: Path):
        self.folder = str(folder.resolve())
        self.on = False
        self.known: set[str] = set()  # top-level modules, and events that valid inputs cause
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        try:
            if found := self._wrong(event, args):
                if self.on and found not in self.known:
                    self.seen.append(found)
                elif not self.on:
                    self.known.add(found)
        except Exception:  # a hook that raises would change what it looks at
            self.seen.append(f"{event}: the hook failed")

    def _wrong(self, event: str, args: tuple[Any, ...]) -> str:
        if NEVER.fullmatch(event):
            return f"{event} {args!r:.80}"
        if event == "import" and args[0] not in sys.modules:
            name = str(args[0])
            foreign = name.split(".")[0] not in self.known and name.split(".")[0] not in sys.stdlib_module_names
            return f"import {name}" if foreign or name in MODULES or name == "PIL.EpsImagePlugin" else ""
        if event == "pickle.find_class":
            return f"pickle.find_class {args[-2]}.{args[-1]}"
        if event == "exec":
            name = str(getattr(args[0], "co_filename", ""))
            return f"exec {name}" if name.startswith(("<", self.folder, ".")) and not name.startswith("<frozen") else ""
        if event == "open" and isinstance(args[0], (str, bytes)):
            writes = any(c in str(args[1] or "") for c in "wax+") or (args[2] or 0) & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT
            )
            return self._outside(event, args[0]) if writes else ""
        return self._outside(event, args[0]) if event in WRITES and isinstance(args[0], (str, bytes)) else ""

    def _outside(self, event: str, path: str | bytes) -> str:
        whole = os.path.realpath(os.fsdecode(path))
        fine = whole.startswith(self.folder) or whole in ("/dev/null", "/dev/shm") or whole.startswith("/proc/self/")
        return "" if fine else f"{event} {whole}"


def peak() -> int:
    """Bytes of memory that this process took at most since `forget`."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) << 10 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def forget() -> None:
    """Let `peak` count anew."""
    with suppress(OSError):  # without it `peak` counts from the process's start
        Path("/proc/self/clear_refs").write_text("5")


def limit_memory() -> None:
    """Address space: what is taken now, and what an input may take; a little more, so that `peak` sees it."""
    found = re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())
    now = int(found[1]) << 10 if found else 8 << 30
    resource.setrlimit(resource.RLIMIT_AS, (now + LIMIT + (1 << 29), resource.RLIM_INFINITY))


def outcome(watch: Watch, call: Callable[[], None]) -> tuple[str, str]:
    """How the use of an input ended: used, refused, foreign, memory or executed; and the words."""
    from taskprompt.core.errors import SourceError, TaskError, TaskPromptError

    forget()
    before, watch.seen = peak(), []
    watch.on = True
    word, text = "used", ""
    try:
        call()
    except TaskPromptError as error:
        text, cause = str(error), error.__cause__
        while cause is not None and isinstance(cause, (TaskPromptError, OSError)):
            cause = cause.__cause__
        wrapped = cause is not None and isinstance(
            error, (SourceError, TaskError)
        )  # it ends a run, and blames its code
        word = "foreign" if wrapped else "refused"
        if wrapped or re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text):
            word, text = (
                "foreign",
                f"{type(error).__name__} from {type(cause).__name__}: {text[:300]!r} {place(cause or error)}",
            )
    except MemoryError as error:
        word, text = "memory", f"MemoryError {place(error)}"
    except BaseException as error:
        word, text = "foreign", f"{type(error).__name__}: {str(error)[:200]!r} {place(error)}"
    finally:
        watch.on = False
    if peak() - before > LIMIT or NO_MEMORY.search(text):
        word, text = "memory", f"{(peak() - before) / 2**30:.1f} GB: {text[:300]}"
    marks = [p for p in (Path(MARKER), Path(watch.folder, MARKER)) if p.exists()]
    if watch.seen or marks:
        word, text = "executed", "; ".join(dict.fromkeys([*watch.seen, *map(str, marks)]))[:300]
        for mark in marks:
            mark.unlink(missing_ok=True)
    return word, text


def place(error: BaseException) -> str:
    """The last place of taskprompt's own in a traceback."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if "/taskprompt/" in f.filename]
    return f"at {own[-1].filename.rpartition('/taskprompt/')[2]}:{own[-1].lineno}" if own else "outside of taskprompt"
