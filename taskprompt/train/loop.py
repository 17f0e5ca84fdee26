"""The loop: a generator of steps. The caller evaluates, saves and reports between them; its `if`s are the callbacks."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from taskprompt.core.balancer import Balance
from taskprompt.core.errors import LayoutError, SourceError, TaskError, shown
from taskprompt.core.task import Task
from taskprompt.core.types import Batch
from taskprompt.distributed import collective
from taskprompt.distributed.sharding import clip_gradients
from taskprompt.nn.precision import autocast
from taskprompt.recipe.recipe import Stage
from taskprompt.train.ema import Ema
from taskprompt.train.losses import Loss, label_counts, task_losses
from taskprompt.train.mixup import mixup
from taskprompt.train.not_finite import check_finite
from taskprompt.train.optim import learning_rate, training_mode


class StepResult(NamedTuple):
    """What one optimizer step did. `number` counts from 1 within the stage."""

    number: int
    losses: dict[str, float]  # task -> mean over the labelled samples of all workers
    total: float
    norm: float  # of the gradient, before clipping
    lr: float
    samples: int  # of all workers


@dataclass(frozen=True)
class TrainState:
    """What is trained: the model as it is called (it may be wrapped for many workers), and what goes with it."""

    model: nn.Module  # b t h w c, rows, inputs -> outputs
    balance: Balance
    optimizer: torch.optim.Optimizer
    shared: tuple[Tensor, ...] = ()  # the encoder's parameters, under all tasks
    ema: Ema | None = None


def fit(
    train_state: TrainState,
    tasks: Mapping[str, Task],
    batches: Iterator[Batch],
    stage: Stage,
    *,
    device: torch.device,
    precision: str = "auto",
    seed: int = 0,
    done: int = 0,
    before: int = 0,
) -> Iterator[StepResult]:
    """Train from step `done` to the stage's last; errors count steps from `before` on, those of earlier stages.

    Raises TaskError where a task's code fails, and NotFinite, on all workers, where a number is not finite."""
    names = list(tasks)
    rank, workers = collective.world()
    training_mode(train_state.model)
    for step in range(done, stage.steps):
        with at_step(before + step + 1):
            group = [batch.to(device) for batch in take(batches, stage.accumulate)]
            counts = collective.total(label_counts(group, names), device)
            each = dict(zip(names, counts.tolist(), strict=True))
            rate = learning_rate(stage, step)
            for parameters in train_state.optimizer.param_groups:
                parameters["lr"] = rate
            sums = torch.zeros(len(names) + 1, dtype=torch.float64)
            found: list[dict[str, Loss]] = []
            with seeded(seed, step, rank, device):
                for i, batch in enumerate(group):
                    with hold_gradients(train_state.model, i + 1 < len(group)):
                        losses = _losses(train_state.model, tasks, batch, each, precision, stage.mixup)
                        # Workers average their gradients, while our losses are shares of one sum over all of them.
                        scaled = {n: loss.share * workers for n, loss in losses.items()}
                        whole = train_state.balance.backward(scaled, train_state.shared)
                    shares = [losses[n].share.detach() for n in names]
                    sums += torch.stack([*shares, whole / workers]).double().cpu()
                    found.append(losses)
            sums = collective.total(sums, device)
            collective.average_gradients(train_state.balance)
            trained = [p for g in train_state.optimizer.param_groups for p in g["params"]]
            norm = clip_gradients(trained, stage.clip_norm or float("inf"))
            check_finite([*sums.tolist(), norm], group, found)
            train_state.optimizer.step()
            train_state.optimizer.zero_grad(set_to_none=True)
            if train_state.ema is not None:
                train_state.ema.update()
        seen = [float("nan") if c == 0 else v for v, c in zip(sums.tolist(), counts.tolist(), strict=False)]
        samples = int(collective.total(torch.tensor(sum(len(b.keys) for b in group)), device))
        yield StepResult(step + 1, dict(zip(names, seen, strict=True)), float(sums[-1]), norm, rate, samples)


def take(batches: Iterator[Batch], count: int) -> Iterable[Batch]:
    """The next `count` batches; the streams of training never end."""
    return [next(batches) for _ in range(count)]


@contextmanager
def at_step(number: int) -> Iterator[None]:
    """Errors of users' code and data say at which step they came."""
    try:
        yield
    except (TaskError, LayoutError, SourceError) as error:
        error.args = (f"step {number}: {error}",)
        raise


@contextmanager
def seeded(seed: int, step: int, rank: int, device: torch.device):
    """Dropout draws from (seed, step, rank), so a resumed run draws the same; the caller's state is put back."""
    mixed = torch.tensor([seed, step, rank], dtype=torch.int64)
    mixed = int((mixed * torch.tensor([1_000_003, 8_191, 1])).sum()) & (2**63 - 1)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(mixed)
        yield


@contextmanager
def hold_gradients(model: nn.Module, hold: bool) -> Iterator[None]:
    """Workers exchange gradients once an optimizer step, not once a batch."""
    if hasattr(model, "set_requires_gradient_sync"):  # sharded
        model.set_requires_gradient_sync(not hold)  # type: ignore[operator]
        yield
    else:
        with model.no_sync() if hold and hasattr(model, "no_sync") else nullcontext():  # type: ignore[operator]
            yield


def _losses(model, tasks, batch: Batch, counts: dict[str, float], precision: str, alpha: float) -> dict[str, Loss]:
    batch, mix = mixup(batch, tasks, alpha) if alpha else (batch, None)
    with autocast(batch.video.device, precision):
        try:
            outputs = model(batch.video, {n: batch.rows[n] for n in tasks}, batch.inputs)
        except TaskError as error:  # a head does not know whose features it reads
            error.args = (f"{str(error).rstrip('.')}. Met on {shown(batch.keys)}.",)
            raise
    return task_losses(tasks, {n: o.float() for n, o in outputs.items()}, batch, counts, collective.pool, mix)
