"""Damaged and hostile inputs of every kind, each from a number, each in a process that is watched.

    python tests/fuzz.py 10000                 # counts by kind, and every fault with what replays it
    python tests/fuzz.py --replay npz 1234     # one input, with its traceback; --keep FILE writes it
    python tests/fuzz.py 500 --only pth,run --first 20000

An input must be used, or refused with an error of taskprompt's own. All else is a fault: another exception, 20 s of CPU
time, more than 2 GB of memory, a crash, or anything that runs, connects, imports or writes elsewhere."""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": tempfile.gettempdir()}
sys.path[:0] = [str(Path(__file__).parent / "support"), str(Path(__file__).parents[1])]

from fuzz_worker import Found, Worker, prepare  # noqa: E402

GROUPS = {
    "recipes": ("recipe", "override"),
    "labels": ("npy", "npz", "png", "json", "csv", "stored"),
    "tables": ("table",),
    "checkpoints": ("safetensors", "pth", "run"),
    "clips": ("mp4", "mov", "mkv", "avi", "ts", "webm", "gif"),
}


def kinds() -> list[str]:
    """All kinds, those of one group as often as those of another."""
    longest = max(map(len, GROUPS.values()))
    return [group[i % len(group)] for i in range(4 * longest) for group in GROUPS.values()]


def planned(count: int, only: list[str], first: int = 0) -> list[tuple[str, int]]:
    """kind and number of every input."""
    wanted = [k for k in kinds() if not only or k in only]
    return [(wanted[i % len(wanted)], first + i) for i in range(count)]


def fuzz(plan: list[tuple[str, int]], jobs: int, seconds: float, whole: bool, tell: Any) -> Found:
    """Use all inputs, or as many as the seconds allow. whole: to the end, where that takes seconds."""
    found = Found()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name).resolve()
        shared = prepare(folder, {kind for kind, _ in plan}, whole)
        begin = time.monotonic()
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
        shared = prepare(Path(name).resolve(), {kind}, whole=True)
        from fuzz_guard import outcome
        from fuzz_mutate import make
        from fuzz_use import use

        data, seed = make(kind, number, shared["seeds"])
        print(f"{len(data)} bytes, { ({k: v for k, v in seed.how.items() if k != 'others'}) }: {data[:200]!r}")
        if keep:
            keep.write_bytes(data)
        print(*outcome(shared["watch"], lambda: use(kind, data, seed, shared["film"], number % shared["every"] == 0)))
        os.chdir("/")


def shown(fault: tuple[str, int, str, str]) -> str:
    kind, number, word, text = fault
    return f"{word}: {text}\n    python tests/fuzz.py --replay {kind} {number}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first number")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so many")
    parser.add_argument("--light", action="store_true", help="leave out what takes seconds: pages of runs, resuming")
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
    found = fuzz(plan, asked.jobs, asked.seconds, not asked.light, lambda fault: print(shown(fault), flush=True))
    print(f"\n{found.table()}\n{found.seconds:.0f} s; faults: {len(found.faults)}")
    if asked.json:
        asked.json.write_text(json.dumps({"counts": found.counts, "faults": found.faults}, indent=1))
    return bool(found.faults)


if __name__ == "__main__":
    sys.exit(main())
