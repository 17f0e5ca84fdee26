"""Benchmarks: alternatives take turns within one run, so that ratios are reliable on a noisy machine."""

import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import av
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from taskprompt.data.reader import Reader, make_reader
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.recipe.runtime import Runtime
from taskprompt.runtime.cluster.connect import connected
from taskprompt.runtime.training.streams import ray_chunks

SPAN = {"real": (64, 448), "tiny": (640, 3200)}  # clips per round: for warm-up; in total

Result = dict[str, dict[str, float]]  # way -> facts


def bench_data(
    workers: int = 2, rounds: int = 3, videos: int = 24, span: dict[str, tuple[int, int]] = SPAN
) -> dict[str, Result]:
    """Clips per second of the Ray stream, of plain PyAV loops in as many processes, and of a DataLoader with as many
    workers, on real clips (10 s of 320 x 240 h264, 16 frames at stride 4) and tiny ones (16 x 128 x 128).

    Medians over rounds in which the alternatives take turns; the warm-up of each round is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            "real": data_recipe(
                Path(folder, "real"), videos, seconds=10, frames=16, height=240, width=320, workers=workers
            ),
            "tiny": data_recipe(
                Path(folder, "tiny"), videos, seconds=16 / 30, frames=16, height=128, width=128, workers=workers
            ),
        }
        with connected(cases["real"], "local"):
            return {name: _data_case(recipe, workers, rounds, *span[name]) for name, recipe in cases.items()}


def _data_case(recipe: Recipe, workers: int, rounds: int, warm: int, clips: int) -> Result:
    reader = make_reader(recipe, "clips", recipe.sources["clips"], training=False)
    paths = [row["clip"] for row in reader.table.to_pylist()]
    ways: dict[str, Callable[[], Iterator[int]]] = {
        "ray stream": lambda: _from_ray(reader, workers, clips),
        "pyav loops": lambda: _from_loops(paths, recipe.clip.frames, workers),
        "dataloader": lambda: _from_dataloader(reader, workers, clips),
    }
    for way in ways.values():  # start processes, and fill the page cache
        _rate(way(), 0, warm)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(_rate(way(), warm, clips))
    return {n: {"clips_per_s": median(r), "low": min(r), "high": max(r)} for n, r in rates.items()}


def _rate(counts: Iterator[int], warm: int, clips: int) -> float:
    """Clips per second after the first `warm` clips, up to `clips`."""
    seen = 0
    while seen < warm:
        seen += next(counts)
    begin, before = time.perf_counter(), seen
    while seen < clips:
        seen += next(counts)
    rate = (seen - before) / (time.perf_counter() - begin)
    counts.close()  # type: ignore[attr-defined]
    return rate


def _from_ray(reader: Reader, workers: int, clips: int) -> Iterator[int]:
    # Exactly as long as measured: cancelling a stream ends its worker processes, and the next round would start new
    # ones.
    for chunk in ray_chunks(reader, 0, 1, clips, runtime=Runtime(data_workers=workers)):
        yield len(chunk["key"])


def _from_loops(paths: list[str], frames: int, workers: int) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    processes = [
        context.Process(target=_loop, args=(paths[i::workers], frames, queue), daemon=True) for i in range(workers)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        queue.get()  # a process has loaded its libraries
    try:
        while True:
            yield queue.get()
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _loop(paths: list[str], frames: int, queue) -> None:
    """A hand-written loop: seek, decode, keep every fourth frame as RGB."""
    stride = 4
    queue.put(0)
    for path in itertools.cycle(paths):
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            total = stream.frames
            if total < stride * frames:
                stride = 1
            first = (total - stride * frames) // 2
            rate, base = float(stream.average_rate or 30), float(stream.time_base or 1)
            container.seek(round(first / rate / base), stream=stream)
            clip = []
            for frame in container.decode(stream):
                number = round((frame.pts or 0) * base * rate)
                if number >= first and (number - first) % stride == 0:
                    clip.append(frame.to_ndarray(format="rgb24"))
                if len(clip) == frames:
                    break
            np.stack(clip)
        queue.put(1)


class _Map(Dataset):
    def __init__(self, reader: Reader, clips: int):
        self.reader, self.clips = reader, clips

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int):
        row = self.reader.read(index)
        return torch.from_numpy(row["video"]), str(row["key"])


def _from_dataloader(reader: Reader, workers: int, clips: int) -> Iterator[int]:
    # Spawned: a fork of a process that uses Ray can deadlock when it garbage-collects an actor handle.
    loader = DataLoader(_Map(reader, clips), batch_size=8, num_workers=workers, multiprocessing_context="spawn")
    for video, _ in loader:
        yield len(video)


def data_recipe(
    folder: Path, videos: int, seconds: float, frames: int, height: int, width: int, workers: int
) -> Recipe:
    """Write h264 clips with motion and grain, and a recipe that reads them without augmentation."""
    for i in range(videos):
        write_h264(folder / f"class{i % 2}" / f"{i:04d}.mp4", seconds, height, width, seed=i)
    clip = {"frames": frames, "height": height, "width": width, "fps": 7.5 if seconds > 1 else 30}
    return validate(
        {
            "clip": clip,
            "sources": {"clips": {"kind": "folder", "path": str(folder)}},
            "backbone": {"kind": "tiny"},
            "prompter": {"kind": "none"},
            "tasks": {"action": {"kind": "action", "classes": ["class0", "class1"]}},
            "stages": [{"steps": 1}],
            "runtime": {"data_workers": workers},
        },
        "bench data",
        Recipe,
    )


def write_h264(path: Path, seconds: float, height: int, width: int, seed: int) -> None:
    """A clip at 30 frames per second with the decoding cost of real footage: a moving texture with grain."""
    rng = np.random.default_rng(seed)
    texture = np.kron(rng.integers(0, 255, (height // 8 * 2, width // 8 * 2, 3)), np.ones((8, 8, 1))).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(round(seconds * 30)):
            view = texture[t : t + height, 2 * t % width : 2 * t % width + width]
            noisy = np.clip(view + rng.integers(-12, 13, view.shape, dtype=np.int16), 0, 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
