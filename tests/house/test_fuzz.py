"""Damaged and hostile inputs for a minute; and that the fuzzer notices what it is there to notice."""

import json
import os
import pickle
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest

from taskprompt.core.errors import RecipeError, SampleError, SourceError

FUZZER = Path(__file__).parents[1] / "fuzz.py"


class Command:
    """Unpickled, it runs a command."""

    def __reduce__(self):
        return os.system, ("true",)


def fine():
    Path("inside").write_text("")


def refused():
    raise SampleError("a.png: holds no pixels.")


def escapes():
    error = RecipeError("r", [])
    RecipeError.__str__ = lambda self: "raw \x1b[2J"  # type: ignore[method-assign]
    raise error


def wrapped():
    try:
        {}["a"]  # type: ignore[index]
    except KeyError as error:
        raise SourceError("source 's': KeyError") from error


def large():
    kept = [bytearray(1 << 30) for _ in range(8)]
    assert kept


def large_inside():
    raise SampleError("a.npy: Unable to allocate 9.31 TiB for an array")


OUTCOMES = {
    "used": [fine],
    "refused": [refused],
    "foreign": [wrapped, lambda: [][1], escapes],
    "memory": [large, large_inside],
    "executed": [
        lambda: os.system("true"),
        lambda: subprocess.run(["true"]),
        lambda: pickle.loads(pickle.dumps(Command())),
        lambda: Path(FUZZER.parent, ".fuzzed").touch(),
        lambda: exec("1 + 1"),
        lambda: __import__("antigravity"),
        lambda: __import__("socket").create_connection(("127.0.0.1", 9), 1),
    ],
}


def told(use, folder, pipe):
    """In a process of its own: hooks stay, and so do limits."""
    from fuzz_guard import Watch, limit_memory, outcome  # type: ignore[import-not-found]

    os.chdir(folder)
    os.environ["BROWSER"] = "true"
    watch = Watch(folder)
    watch.known |= {name.split(".")[0] for name in sys.modules}
    limit_memory()
    pipe.send(outcome(watch, use))


@pytest.mark.parametrize(
    ("word", "use"),
    [(w, u) for w, uses in OUTCOMES.items() for u in uses],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_the_guard_tells_how_an_input_ends(word, use, tmp_path):
    context = get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=told, args=(use, tmp_path, theirs))
    process.start()
    assert mine.poll(60)
    assert mine.recv()[0] == word
    process.join()
    (FUZZER.parent / ".fuzzed").unlink(missing_ok=True)


def test_a_process_that_hangs_or_dies_is_started_anew(tmp_path, monkeypatch):
    import fuzz_mutate  # type: ignore[import-not-found]
    import fuzz_use  # type: ignore[import-not-found]
    import fuzz_worker  # type: ignore[import-not-found]

    def use(kind, data, seed, film, whole):
        while kind == "hangs":
            pass
        if kind == "dies":
            os.abort()

    def outcome(watch, call):
        call()
        return "used", ""

    monkeypatch.setattr(fuzz_use, "use", use)
    monkeypatch.setattr("fuzz_guard.outcome", outcome)
    monkeypatch.setattr("fuzz_guard.limit_memory", lambda: None)
    monkeypatch.setattr(fuzz_mutate, "make", lambda kind, number, seeds: (b"", None))
    monkeypatch.setattr(fuzz_worker, "SECONDS", 0.3)
    found, kinds = fuzz_worker.Found(), ["fine", "hangs", "fine", "dies", "dies", "fine"]
    work = [(kind, i) for i, kind in enumerate(kinds)]
    worker = fuzz_worker.Worker(work, {"seeds": {}, "film": b"", "watch": None, "every": 10}, tmp_path)
    while worker.step(found):
        pass
    assert found.counts == {"fine": {"used": 3}, "hangs": {"hang": 1}, "dies": {"crash": 2}}
    assert [fault[:3] for fault in found.faults] == [("hangs", 1, "hang"), ("dies", 3, "crash"), ("dies", 4, "crash")]


def test_a_seed_is_an_input():
    """Also in another process: strings hash otherwise there."""
    code = (
        "import fuzz_mutate, fuzz_seeds, hashlib\n"
        "seeds = {'npy': fuzz_seeds.npy(), 'recipe': fuzz_seeds.recipes(), 'png': fuzz_seeds.png()}\n"
        "for kind in seeds:\n"
        "    inputs = [fuzz_mutate.make(kind, i, seeds)[0] for i in range(60)]\n"
        "    print(kind, len(set(inputs)) > 50, hashlib.sha256(b'|'.join(inputs)).hexdigest())\n"
    )
    path = os.pathsep.join([str(FUZZER.parent / "support"), str(FUZZER.parents[1])])
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": str(i)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for i in (1, 2)
    ]
    assert said[0] == said[1]
    assert said[0].count("True") == 3


def test_a_minute_of_damaged_and_hostile_inputs(tmp_path):
    command = [sys.executable, str(FUZZER), "400", "--jobs", "1", "--seconds", "30", "--light"]
    done = subprocess.run([*command, "--json", str(tmp_path / "found")], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads((tmp_path / "found").read_text())["counts"]
    assert sum(sum(words.values()) for words in counts.values()) >= 50
    assert {"recipe", "npz", "table", "pth", "mp4"} <= counts.keys()
