"""The loop: a generator of steps. The caller evaluates, saves and reports between them; its `if`s are the callbacks."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel

from taskprompt.core.balancer import Balance
from taskprompt.core.errors import TaskPromptError
from taskprompt.core.losses import label_counts, task_losses
from taskprompt.core.recipe import Stage
from taskprompt.core.task import Task
from taskprompt.core.types import Batch
from taskprompt.train import collective
from taskprompt.train.optim import learning_rate, training_mode


class Step(NamedTuple):
    """What one optimizer step did. `number` counts from 1 within the stage."""

    number: int
    losses: dict[str, float]  # task -> mean over the labelled samples of all workers
    total: float
    norm: float  # of the gradient, before clipping
    lr: float
    samples: int  # of all workers


@dataclass(frozen=True)
class Trainee:
    """What is trained: the model as it is called (it may be wrapped for many workers), and what goes with it."""

    model: nn.Module  # b t h w c, rows -> outputs
    balance: Balance
    optimizer: torch.optim.Optimizer
    shared: tuple[Tensor, ...] = ()  # the encoder's parameters, under all tasks
    ema: AveragedModel | None = None


def fit(
    trainee: Trainee,
    tasks: Mapping[str, Task],
    batches: Iterator[Batch],
    stage: Stage,
    *,
    device: torch.device,
    precision: str = "auto",
    seed: int = 0,
    done: int = 0,
) -> Iterator[Step]:
    """Train from step `done` to the stage's last. Raises TaskPromptError where a loss is not a finite number."""
    names = list(tasks)
    rank, workers = collective.world()
    training_mode(trainee.model)
    for step in range(done, stage.steps):
        group = [batch.to(device) for batch in take(batches, stage.accumulate)]
        counts = collective.total(label_counts(group, names), device)
        rate = learning_rate(stage, step)
        for parameters in trainee.optimizer.param_groups:
            parameters["lr"] = rate
        sums = torch.zeros(len(names) + 1, dtype=torch.float64)
        with seeded(seed, step, rank, device):
            for i, batch in enumerate(group):
                with hold_gradients(trainee.model, i + 1 < len(group)):
                    losses = _losses(
                        trainee.model, tasks, batch, dict(zip(names, counts.tolist(), strict=True)), precision
                    )
                    # Workers average their gradients, while our losses are shares of one sum over all of them.
                    scaled = {n: loss * workers for n, loss in losses.items()}
                    whole = trainee.balance.backward(scaled, trainee.shared)
                sums += torch.stack([*(losses[n].detach() for n in names), whole / workers]).double().cpu()
        sums = collective.total(sums, device)
        _check_finite(sums, names, step + 1, group)
        trained = [p for g in trainee.optimizer.param_groups for p in g["params"]]
        norm = clip_grad_norm_(trained, stage.clip_norm or float("inf"))
        trainee.optimizer.step()
        trainee.optimizer.zero_grad(set_to_none=True)
        if trainee.ema is not None:
            trainee.ema.update_parameters(getattr(trainee.model, "module", trainee.model))
        seen = [float("nan") if c == 0 else v for v, c in zip(sums.tolist(), counts.tolist(), strict=False)]
        samples = int(collective.total(torch.tensor(sum(len(b.keys) for b in group)), device))
        yield Step(step + 1, dict(zip(names, seen, strict=True)), float(sums[-1]), float(norm), rate, samples)


def take(batches: Iterator[Batch], count: int) -> Iterable[Batch]:
    """The next `count` batches; the streams of training never end."""
    return [next(batches) for _ in range(count)]


def autocast(device: torch.device, precision: str):
    """bf16 where asked, or where 'auto' finds it fast; weights and losses stay float32."""
    wanted = precision == "bf16" or (precision == "auto" and multiplies_bf16(device))
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16 products; a CPU without them was seen to take ten times as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16") or has.get("bf16"))


@contextmanager
def seeded(seed: int, step: int, rank: int, device: torch.device):
    """Dropout draws from (seed, step, rank), so a resumed run draws the same; the caller's state is put back."""
    mixed = torch.tensor([seed, step, rank], dtype=torch.int64)
    mixed = int((mixed * torch.tensor([1_000_003, 8_191, 1])).sum()) & (2**63 - 1)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(mixed)
        yield


def hold_gradients(model: nn.Module, hold: bool):
    """Workers exchange gradients once an optimizer step, not once a batch."""
    return model.no_sync() if hold and hasattr(model, "no_sync") else nullcontext()  # type: ignore[operator]


def _losses(model, tasks, batch: Batch, counts: dict[str, float], precision: str) -> dict[str, Tensor]:
    with autocast(batch.video.device, precision):
        outputs = model(batch.video, {n: batch.rows[n] for n in tasks})
    return task_losses(tasks, {n: o.float() for n, o in outputs.items()}, batch, counts)


def _check_finite(sums: Tensor, names: list[str], step: int, group: list[Batch]) -> None:
    if torch.isfinite(sums).all():
        return
    bad = [n for n, v in zip(names, sums.tolist(), strict=False) if not torch.isfinite(torch.tensor(v))] or ["the sum"]
    keys = [key for batch in group for key in batch.keys]
    raise TaskPromptError(
        f"step {step}: the loss of {', '.join(bad)} is not a finite number; the weights were not changed. "
        f"Clips of this step: {', '.join(keys[:8])}{' ...' if len(keys) > 8 else ''}. Lower lr, or look at these clips."
    )
