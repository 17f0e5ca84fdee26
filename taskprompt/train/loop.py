"""The training loop, a generator of steps. The caller evaluates, saves and reports between steps, without callbacks."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from taskprompt.core.balancer import Balance, LossWeights
from taskprompt.core.errors import LayoutError, SourceError, TaskError
from taskprompt.core.task import Task
from taskprompt.core.types import Batch
from taskprompt.distributed import collective
from taskprompt.distributed.sharding import clip_gradients
from taskprompt.recipe.recipe import Stage
from taskprompt.train.ema import Ema
from taskprompt.train.losses import label_counts
from taskprompt.train.not_finite import check_finite
from taskprompt.train.optim import learning_rate, training_mode
from taskprompt.train.passes import Passes


class StepResult(NamedTuple):
    """The result of one optimizer step. `number` counts from 1 within the stage."""

    number: int
    losses: dict[str, float]  # task -> mean over the labelled samples of all workers
    total: float
    norm: float  # gradient norm, before clipping
    lr: float
    samples: int  # of all workers


@dataclass(frozen=True)
class TrainState:
    """The model, possibly wrapped for many workers, with its balance, optimizer and average."""

    model: nn.Module  # b t h w c, rows, inputs -> outputs
    balance: Balance
    optimizer: torch.optim.Optimizer
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
    """Train from step `done` to the stage's last. before: steps of earlier stages, for the step number in errors.

    Raises TaskError if a task's code fails, and NotFinite, on all workers, if a loss or gradient is not finite."""
    names = list(tasks)
    rank, _ = collective.world()
    training_mode(train_state.model)
    for step in range(done, stage.steps):
        with at_step(before + step + 1):
            group = [batch.to(device) for batch in take(batches, stage.accumulate)]
            counts = collective.total(label_counts(group, names), device)
            each = dict(zip(names, counts.tolist(), strict=True))
            rate = learning_rate(stage, step)
            for parameters in train_state.optimizer.param_groups:
                parameters["lr"] = rate
            passes = Passes(
                train_state.model,
                tasks,
                group,
                each,
                precision=precision,
                mixup=stage.mixup,
                seeded=partial(seeded, seed, step, rank, device),
            )
            answer = passes.answer(train_state.balance, generator(seed, step))
            sums, found = passes.backward(answer)
            known = {n: v for n, v in zip(names, sums.tolist(), strict=False) if each[n]}
            if isinstance(answer, LossWeights):
                sums[-1] += learn(answer, known)
            trained = [p for g in train_state.optimizer.param_groups for p in g["params"]]
            norm = clip_gradients(trained, stage.clip_norm or float("inf"))
            check_finite([*sums.tolist(), norm], group, found)
            train_state.balance.record(known)
            train_state.optimizer.step()
            train_state.optimizer.zero_grad(set_to_none=True)
            if train_state.ema is not None:
                train_state.ema.update()
        seen = [float("nan") if c == 0 else v for v, c in zip(sums.tolist(), counts.tolist(), strict=False)]
        samples = int(collective.total(torch.tensor(sum(len(b.keys) for b in group)), device))
        yield StepResult(step + 1, dict(zip(names, seen, strict=True)), float(sums[-1]), norm, rate, samples)


def take(batches: Iterator[Batch], count: int) -> Iterable[Batch]:
    """The next `count` batches; training streams are endless."""
    return [next(batches) for _ in range(count)]


@contextmanager
def at_step(number: int) -> Iterator[None]:
    """Add the step number to errors of users' code and data."""
    try:
        yield
    except (TaskError, LayoutError, SourceError) as error:
        error.args = (f"step {number}: {error.text}",)
        raise


@contextmanager
def seeded(seed: int, step: int, rank: int, device: torch.device):
    """Seed dropout with (seed, step, rank), so that a resumed run repeats it; the caller's random state is restored."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(mixed(seed, step, rank))
        yield


def mixed(seed: int, step: int, rank: int) -> int:
    """One seed from three numbers."""
    numbers = torch.tensor([seed, step, rank], dtype=torch.int64) * torch.tensor([1_000_003, 8_191, 1])
    return int(numbers.sum()) & (2**63 - 1)


def generator(seed: int, step: int) -> torch.Generator:
    """The random generator of a balancer, seeded with (seed, step), the same on every worker."""
    return torch.Generator().manual_seed(mixed(seed, step, -1))


def learn(answer: LossWeights, losses: Mapping[str, float]) -> float:
    """Add the gradients of the balance's own parameters, the same on every worker; returns what its own loss adds to
    the total."""
    own = answer.own_loss(losses)
    if own is not None:
        own.backward()
    return 0.0 if answer.loss is None else float(answer.loss.detach())
