"""Overhead of Ray in training, compared with a plain loop within one run."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from taskprompt.bench.step import plain_steps, ray_steps
from taskprompt.data.local import plain_chunks
from taskprompt.data.reader import Reader, make_reader
from taskprompt.recipe.files import dump
from taskprompt.recipe.recipe import Recipe
from taskprompt.runtime.cluster.connect import connected
from taskprompt.runtime.training.streams import ray_chunks


@dataclass(frozen=True)
class RayCosts:
    """Alternatives: plain (this process, no Ray), '1', '2' (workers of Ray Train)."""

    first_step: dict[str, float]  # alternative -> seconds from the command to the end of its first step
    memory: dict[str, int]  # alternative -> peak bytes of all its processes, shared pages counted once
    step: dict[str, float]  # alternative -> seconds per step, on one batch in memory
    clips: dict[str, float]  # plain, stream -> clips per second, read by one process
    bytes_a_clip: dict[str, float]  # clip: of the decoded columns; store: written to the object store
    checkpoint: float  # seconds to write one


def bench_ray(
    recipe: Recipe, steps: int = 12, rounds: int = 3, clips: int = 256, workers: tuple[int, ...] = (1, 2)
) -> RayCosts:
    """Measure a recipe in a plain loop, and through Ray with these numbers of workers, in turns; medians over
    rounds."""
    recipe = changed(recipe, steps=steps + 3)
    if recipe.runtime.torch_threads:
        torch.set_num_threads(recipe.runtime.torch_threads)  # as in a worker
    ways = {"plain": recipe, **{str(n): with_workers(recipe, n) for n in workers}}
    first, memory = {way: [] for way in ways}, dict.fromkeys(ways, 0)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    saved: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(rounds):
            for way, its in ways.items():
                begun, peak = started(its, folder / f"start-{way}-{i}", "none" if way == "plain" else "local")
                first[way].append(begun)
                memory[way] = max(memory[way], peak)
                if way == "plain":
                    seconds[way] += plain_steps(its, steps)
                else:
                    seconds[way] += ray_steps(its, folder / f"steps-{way}-{i}")
            saved.append(seconds_to_save(recipe, folder / f"save-{i}"))
        rates, sizes = stream_costs(recipe, clips, rounds)
    medians = [{way: median(values) for way, values in d.items()} for d in (first, seconds, rates)]
    return RayCosts(medians[0], memory, medians[1], medians[2], sizes, median(saved))


def changed(recipe: Recipe, steps: int) -> Recipe:
    """A few steps of the first stage, without evaluation or checkpoints."""
    stage = recipe.stages[0].model_copy(update={"steps": steps, "warmup": 0})
    update = {"evaluate_every": None, "save_every": None, "best": None, "held_out": {}, "stages": (stage,)}
    return recipe.model_copy(update=update)


def with_workers(recipe: Recipe, workers: int) -> Recipe:
    """The same recipe with this number of workers."""
    return recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"workers": workers})})


def started(recipe: Recipe, out: Path, cluster: str) -> tuple[float, int]:
    """Run the command `taskprompt fit`. Seconds to the end of the first step; peak memory of all its processes."""
    file = out.with_suffix(".yaml")
    file.write_text(dump(recipe))
    command = [sys.executable, "-m", "taskprompt.cli.main", "fit", str(file), "--out", str(out), "--cluster", cluster]
    begin, first, peak, looked = time.perf_counter(), 0.0, 0, 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as job:
        while job.poll() is None:
            now = time.perf_counter() - begin
            if not first and (out / "metrics.jsonl").exists():
                first = now
            if now - looked > 0.5:
                looked, peak = now, max(peak, memory_of(job.pid))
            time.sleep(0.01)
        words = job.stderr.read() if job.stderr else ""
    if job.returncode:
        raise RuntimeError(words)
    return first, peak


def memory_of(root: int) -> int:
    """PSS of a process and its descendants in bytes: a page shared by n processes counts 1/n in each. Linux only, else
    0."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*") if Path("/proc").is_dir() else ():
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    family, grown = {root}, True
    while grown:
        more = {p for p, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return sum(map(_pss, family))


def _pss(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def seconds_to_save(recipe: Recipe, out: Path) -> float:
    """Seconds to write a checkpoint of the model, its average and an optimizer's two moments to this disk."""
    from taskprompt.recipe.build import build_model
    from taskprompt.runs import checkpoint

    weights = build_model(recipe).state_dict()
    moments = {f"{n}|{m}": v for n, v in weights.items() for m in ("exp_avg", "exp_avg_sq")}
    begin = time.perf_counter()
    checkpoint.save(out, 1, {"model": weights, "ema": weights, "optimizer": moments}, {}, 1)
    return time.perf_counter() - begin


def stream_costs(recipe: Recipe, clips: int, rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Clips per second of the recipe's first source, read in this process and by one stream task; bytes per clip."""
    name, source = next(iter(recipe.sources.items()))
    reader = make_reader(recipe, name, source, training=True)
    runtime = recipe.runtime.model_copy(update={"data_workers": 1, "workers": 1})
    rates: dict[str, list[float]] = {"plain": [], "stream": []}
    reader(np.arange(2))  # load libraries
    with connected(recipe.model_copy(update={"runtime": runtime}), "local"):
        from taskprompt.runtime.cluster._ray_private import store_bytes

        before, seen = store_bytes(), 0
        for _ in range(rounds):
            rates["plain"].append(_rate(plain_chunks(reader, 0, 1, clips)))
            rates["stream"].append(_rate(ray_chunks(reader, 0, 1, 2 * clips, runtime=runtime), warm=clips))
            seen += 2 * clips
        written = (store_bytes() - before) / seen
    return rates, {"clip": clip_bytes(reader), "store": written}


def _rate(chunks: Iterator, warm: int = 0) -> float:
    begin, clips = time.perf_counter(), 0
    for chunk in chunks:
        clips += len(chunk["key"])
        if warm and clips >= warm:
            begin, clips, warm = time.perf_counter(), 0, 0
    return clips / (time.perf_counter() - begin)


def clip_bytes(reader: Reader) -> float:
    """Bytes of one clip's columns."""
    return float(sum(array.nbytes for array in reader(np.arange(1)).values()))
