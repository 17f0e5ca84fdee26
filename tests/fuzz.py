"""Damaged and hostile inputs of every kind, each from a number, each in a process that is watched.

    python tests/fuzz.py 10000                 # counts by kind, and every fault with what replays it
    python tests/fuzz.py --replay npz 1234     # one input, with its traceback; --keep FILE writes it
    python tests/fuzz.py 500 --only pth,run --first 20000

An input must be used, or refused with an error of taskprompt's own. All else is a fault: another exception, 20 s of CPU
time, more than 2 GB of memory, a crash, or anything that runs, connects, imports or writes elsewhere."""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": tempfile.gettempdir()}
sys.path[:0] = [str(Path(__file__).parent / "support"), str(Path(__file__).parents[1])]

SECONDS = 20  # of CPU time that an input may take
WALL = 120  # seconds, whatever it waits for
WHOLE = 10  # of so many inputs one is used to the end, where that takes long
WORDS = ("used", "refused", "foreign", "hang", "memory", "crash", "executed")
FAULTS = WORDS[2:]
GROUPS = {
    "recipes": ("recipe", "override"),
    "labels": ("npy", "npz", "png", "json", "csv", "stored"),
    "tables": ("table",),
    "checkpoints": ("safetensors", "pth", "run"),
    "clips": ("mp4", "mov", "mkv", "avi", "ts", "webm", "gif"),
}


@dataclass
class Found:
    """What became of all inputs."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)  # kind -> word -> how many
    spent: Counter[str] = field(default_factory=Counter)  # kind -> seconds
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


def kinds() -> list[str]:
    """All kinds, those of one group as often as those of another."""
    longest = max(map(len, GROUPS.values()))
    return [group[i % len(group)] for i in range(4 * longest) for group in GROUPS.values()]


def planned(count: int, only: list[str], first: int = 0) -> list[tuple[str, int]]:
    """kind and number of every input."""
    wanted = [k for k in kinds() if not only or k in only]
    return [(wanted[i % len(wanted)], first + i) for i in range(count)]


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
                    lambda d=data, k=kind, s=seed, n=number: use(k, d, s, shared["film"], n % WHOLE == 0),
                ),
            )
        )
    pipe.send(("done",))


def prepare(folder: Path) -> dict[str, Any]:
    """The valid inputs, each used once: what that imports and executes is known. Raises where one is refused."""
    import fuzz_guard
    import fuzz_seeds
    import fuzz_use
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    watch, seeds = fuzz_guard.Watch(folder), fuzz_seeds.every()
    film, wrong = seeds["mp4"][0].data, []
    for kind, group in seeds.items():
        for seed in group:
            try:
                fuzz_use.use(kind, seed.data, seed, film, whole=seed.how.get("name") == "metrics.jsonl")
            except Exception as error:
                wrong.append(
                    f"{kind} {[v for k, v in seed.how.items() if k != 'others']}: {type(error).__name__}: {error}"
                )
    if wrong:
        raise SystemExit("valid inputs are refused:\n" + "\n".join(wrong))
    watch.known |= {name.split(".")[0] for name in sys.modules}
    return {"seeds": seeds, "film": film, "watch": watch}


def cpu_seconds(pid: int) -> float:
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


def fuzz(plan: list[tuple[str, int]], jobs: int, seconds: float = float("inf"), tell: Any = None) -> Found:
    """Use all inputs, or as many as the seconds allow."""
    begin, found = time.monotonic(), Found()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name).resolve()
        shared = prepare(folder)
        workers = []
        for i in range(jobs):
            (folder / str(i)).mkdir()
            workers.append(Worker(plan[i::jobs], shared, folder / str(i)))
        told = 0
        while workers and time.monotonic() - begin < seconds:
            workers = [w for w in workers if w.step(found)]
            if tell and len(found.faults) > told:
                for fault in found.faults[told:]:
                    tell(fault)
                told = len(found.faults)
        for worker in workers:
            worker.process.kill()
            worker.process.join()
        os.chdir("/")
    found.seconds = time.monotonic() - begin
    return found


def replay(kind: str, number: int, keep: Path | None) -> None:
    """One input in this process, with all that it raises."""
    keep = keep and keep.absolute()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        shared = prepare(Path(name).resolve())
        from fuzz_guard import outcome
        from fuzz_mutate import make
        from fuzz_use import use

        data, seed = make(kind, number, shared["seeds"])
        print(f"{len(data)} bytes, { ({k: v for k, v in seed.how.items() if k != 'others'}) }: {data[:200]!r}")
        if keep:
            keep.write_bytes(data)
        print(*outcome(shared["watch"], lambda: use(kind, data, seed, shared["film"], number % WHOLE == 0)))
        os.chdir("/")


def shown(fault: tuple[str, int, str, str]) -> str:
    kind, number, word, text = fault
    return f"{word}: {text}\n    python tests/fuzz.py --replay {kind} {number}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first number")
    parser.add_argument("--only", default="", help="kinds, with commas")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", nargs=2, metavar=("KIND", "NUMBER"))
    parser.add_argument("--keep", type=Path, help="with --replay: write the input here")
    parser.add_argument("--json", type=Path, help="write counts and faults here")
    asked = parser.parse_args()
    if asked.replay:
        replay(asked.replay[0], int(asked.replay[1]), asked.keep)
        return 0
    only = [k for k in asked.only.split(",") if k]
    plan = planned(asked.count, only, asked.first)
    found = fuzz(plan, asked.jobs, tell=lambda fault: print(shown(fault), flush=True))
    print(f"\n{found.table()}\n{found.seconds:.0f} s; faults: {len(found.faults)}")
    if asked.json:
        asked.json.write_text(json.dumps({"counts": found.counts, "faults": found.faults}, indent=1))
    return bool(found.faults)


if __name__ == "__main__":
    sys.exit(main())
