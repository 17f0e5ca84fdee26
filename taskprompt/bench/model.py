"""MViTv2-S of taskprompt and of torchvision, the cost of prompts, and the share of the machine's peak."""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone
from taskprompt.nn.compiled import compiler_told

WAYS = ("torchvision", "taskprompt", "five prompts")
CLIP = ClipSpec(frames=16, height=224, width=224)


@dataclass(frozen=True, slots=True)
class Facts:
    """Medians for each model; seconds per batch, bytes of memory without the weights."""

    clips: int  # batch size
    forward: dict[str, float]
    training: dict[str, float]  # forward and backward
    memory: dict[str, float]  # peak of a forward and backward pass
    flops: dict[str, float]  # of a forward pass of one clip, two per multiply-add
    rate: float  # floating-point operations per second of one large matrix product

    def floor(self, way: str) -> float:
        """Lower bound of a forward pass, in seconds, at the rate of large matrix products; training is three times."""
        return self.clips * self.flops[way] / self.rate


def bench_model(rounds: int = 5, threads: int = 2, compiled: bool = False, clips: int | None = None) -> Facts:
    """torchvision's mvit_v2_s, the backbone `mvit`, and the same with five prompts, on clips of 16 x 224 x 224, taking
    turns; float32 on a CPU, bf16 on a GPU. clips: batch size; None: 1 on a CPU, and 32 on a GPU, to fill it.

    Each pass of each model has a separate process: six compile in parallel, and memory is measured separately."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clips = clips or (32 if device == "cuda" else 1)
    keys = [(way, training) for way in WAYS for training in (False, True)]
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = {key: stack.enter_context(ProcessPoolExecutor(1, spawn)) for key in keys}
        begun = {key: pool.submit(prepare, *key, device, clips, compiled, threads) for key, pool in pools.items()}
        memory = {key: future.result() for key, future in begun.items()}
        torch.set_num_threads(threads)
        seconds, rate = take_turns(pools, rounds, torch.device(device))
    return Facts(
        clips,
        {way: seconds[way, False] for way in WAYS},
        {way: seconds[way, True] for way in WAYS},
        {way: memory[way, True] for way in WAYS},
        {way: operations(way) for way in WAYS},
        rate,
    )


def take_turns(
    pools: Mapping[tuple[str, bool], Executor], rounds: int, device: torch.device
) -> tuple[dict[tuple[str, bool], float], float]:
    """Run each pass once per round, and matrix products here. Returns median seconds, and the best matrix rate."""
    taken, rates = [], []
    for _ in range(1 + rounds):  # the first warms up
        taken.append({key: pool.submit(turn).result() for key, pool in pools.items()})
        rates.append(matrix_rate(device))
    return {key: median(seconds[key] for seconds in taken[1:]) for key in pools}, max(rates)


_mine: dict[str, Any] = {}  # state of this process: its pass and device


def prepare(way: str, training: bool, device: str, clips: int, compiled: bool, threads: int) -> float:
    """Prepare a pass in this process and run it once. Returns its peak memory in bytes, above the level before."""
    torch.set_num_threads(threads)
    step = make(way, torch.device(device), clips, compiled)
    _mine.update(step=partial(step, training), device=torch.device(device))
    if compiled:  # exclude the memory used for compilation
        with compiler_told():
            step(training)
    return peak(_mine["step"], _mine["device"])


def turn() -> float:
    """Time of this process's pass in seconds."""
    seconds = timed(_mine["step"], _mine["device"])
    if _mine["device"].type == "cuda":  # first reallocate memory, and free it afterwards for the next process
        seconds = timed(_mine["step"], _mine["device"])
        torch.cuda.empty_cache()
    return seconds


def make(way: str, device: torch.device, clips: int, compiled: bool) -> Callable[[bool], None]:
    """A function that runs one forward pass, or a forward and a backward pass, of a freshly initialised model."""
    model, video, more = parts(way, device, clips)
    if compiled:
        model.compile()
    cast = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()

    def step(training: bool) -> None:
        model.train(training)
        with cast, torch.set_grad_enabled(training):
            out = model(video, *more)
        if training:
            summed(out).backward()
            model.zero_grad(set_to_none=True)

    return step


def parts(way: str, device: torch.device, clips: int) -> tuple[nn.Module, Tensor, list[Tensor]]:
    """A model without drop path and dropout, a batch of noise in its input format, and prompts if it has any."""
    torch.manual_seed(0)
    shape = (clips, CLIP.frames, CLIP.height, CLIP.width, 3)
    if way == "torchvision":
        from torchvision.models.video import mvit_v2_s

        theirs = mvit_v2_s(stochastic_depth_prob=0.0, dropout=0.0)
        return theirs.to(device), torch.randn(shape, device=device).permute(0, 4, 1, 2, 3).contiguous(), []
    spec = Backbone.model_validate({"kind": "mvit", "size": "S", "drop_path": 0})
    model = nn.ModuleDict({"encoder": spec.build(CLIP), "head": nn.Linear(768, 400)}).to(device)
    prompts = [torch.randn(clips, 5, 96, device=device, requires_grad=True)] if way == "five prompts" else []
    return Whole(model), torch.randn(shape, device=device), prompts


class Whole(nn.Module):
    """An encoder with a classifier of 400 classes, as in torchvision."""

    def __init__(self, model: nn.ModuleDict):
        super().__init__()
        self.model = model

    def forward(self, video: Tensor, prompts: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        features, out = self.model["encoder"](video, prompts)
        return self.model["head"](features.summary), out


def summed(out: Any) -> Tensor:
    """A scalar that depends on all parts of an output."""
    return sum(x.float().sum() for x in (out if isinstance(out, tuple) else (out,)) if x is not None)  # type: ignore


def timed(step: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def peak(step: Callable[[], object], device: torch.device) -> float:
    """Peak memory of one call in bytes, above the level before; on a CPU from the system's figures for this process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.empty_cache()
        return float(torch.cuda.max_memory_allocated() - before)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current resident size
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def resident(name: str) -> float:
    """Bytes in a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line for line in lines if line.startswith(name)).split()[1])


def operations(way: str) -> float:
    """Floating-point operations of one clip's forward pass, by torch's FlopCounterMode on the meta device."""
    with torch.device("meta"):
        model, video, more = parts(way, torch.device("meta"), 1)
    model.eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        model(video, *(x.detach() for x in more))
    return float(counter.get_total_flops())


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations per second of one large square matrix product in the models' data type."""
    size, kind = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    best = min(timed(lambda: torch.mm(a, b), device) for _ in range(7))
    return 2 * size**3 / best
