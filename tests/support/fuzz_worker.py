"""Processes that use inputs, started anew where one of them ends its process; and what became of all."""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 20  # of CPU time that an input may take
WALL = 120  # seconds, whatever it waits for
WHOLE = 10  # of so many inputs one is used to the end, where that takes long
WORDS = ("used", "refused", "foreign", "hang", "memory", "crash", "executed")
FAULTS = WORDS[2:]


@dataclass
class Found:
    """What became of all inputs."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)  # kind -> word -> how many
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # kind -> seconds
    faults: list[tuple[str, int, str, str]] = field(default_factory=list)  # kind, number, word, text
    seconds: float = 0.0

    def add(self, kind: str, number: int, word: str, text: str) -> None:
        self.counts.setdefault(kind, Counter())[word] += 1
        if word in FAULTS:
            self.faults.append((kind, number, word, text))

    def table(self) -> str:
        """Counts by kind."""
        lines = [f"{'kind':12} {'inputs':>7} " + " ".join(f"{w:>8}" for w in WORDS) + f"{'seconds':>9}"]
        rows = {k: c for k, c in sorted(self.counts.items())}
        total: Counter[str] = sum(rows.values(), Counter())
        spent = self.spent | {"all": sum(self.spent.values())}
        for kind, counts in [*rows.items(), ("all", total)]:
            words = " ".join(f"{counts[w]:8}" for w in WORDS)
            lines.append(f"{kind:12} {sum(counts.values()):7} {words}{spent[kind]:9.0f}")
        return "\n".join(lines)


def child(work: list[tuple[str, int]], shared: dict[str, Any], pipe: Any, folder: Path) -> None:
    """Use inputs one after the other, and tell before and after each."""
    import faulthandler

    from fuzz_guard import limit_memory, outcome
    from fuzz_mutate import make
    from fuzz_use import use

    os.chdir(folder)
    tempfile.tempdir = str(folder)
    faulthandler.disable()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    limit_memory()
    for kind, number in work:
        pipe.send(("begin", kind, number))
        data, seed = make(kind, number, shared["seeds"])
        pipe.send(
            (
                "end",
                *outcome(
                    shared["watch"],
                    lambda d=data, k=kind, s=seed, n=number: use(k, d, s, shared["film"], n % shared["every"] == 0),
                ),
            )
        )
    pipe.send(("done",))


def prepare(folder: Path, kinds: set[str], whole: bool) -> dict[str, Any]:
    """The valid inputs, each used once: what that imports and executes is known. Raises where one is refused."""
    import fuzz_films
    import fuzz_guard
    import fuzz_use
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    watch, seeds = fuzz_guard.Watch(folder), fuzz_films.valid(kinds)
    film, wrong = seeds["mp4"][0].data, []
    for kind, group in ((k, g) for k, g in seeds.items() if k in kinds):
        for seed in group:
            try:
                fuzz_use.use(kind, seed.data, seed, film, whole and seed.how.get("name") == "metrics.jsonl")
            except Exception as error:
                wrong.append(
                    f"{kind} {[v for k, v in seed.how.items() if k != 'others']}: {type(error).__name__}: {error}"
                )
    if wrong:
        raise SystemExit("valid inputs are refused:\n" + "\n".join(wrong))
    watch.known |= {name.split(".")[0] for name in sys.modules}
    return {"seeds": seeds, "film": film, "watch": watch, "every": WHOLE if whole else 1 << 60}


def cpu_seconds(pid: int | None) -> float:
    """CPU time of a process and its threads."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """One process at a time, started anew where an input ended it."""

    def __init__(self, work: list[tuple[str, int]], shared: dict[str, Any], folder: Path):
        self.work, self.shared, self.folder = work, shared, folder
        self.at: tuple[str, int] | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=child, args=(self.work, self.shared, theirs, self.folder))
        self.process.start()
        theirs.close()

    def step(self, found: Found) -> bool:
        """Take what the process has told; False at the end."""
        try:
            while self.pipe.poll(0.05):
                match self.pipe.recv():
                    case ("begin", kind, number):
                        self.at, self.since, self.cpu = (kind, number), time.monotonic(), cpu_seconds(self.process.pid)
                    case ("end", word, text):
                        found.spent[self.work[0][0]] += cpu_seconds(self.process.pid) - self.cpu
                        found.add(*self.work.pop(0), word, text)
                        self.at = None
                    case _:
                        self.process.join()
                        return False
        except EOFError:
            self.process.join()
            code = self.process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit {code}"
            self._ended("crash", name, found)
            return bool(self.work)
        if self.at and (cpu_seconds(self.process.pid) - self.cpu > SECONDS or time.monotonic() - self.since > WALL):
            self.process.kill()
            self.process.join()
            self._ended("hang", f"{time.monotonic() - self.since:.0f} s", found)
            return bool(self.work)
        return True

    def _ended(self, word: str, text: str, found: Found) -> None:
        found.add(*self.work.pop(0), word, text)
        self.at = None
        if self.work:
            self._start()
