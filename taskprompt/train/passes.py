"""The forward and backward passes of one optimizer step, over all its accumulated batches."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from taskprompt.core.balancer import Balance, JoinedGradients, LossWeights, TaskGradients, check_answer
from taskprompt.core.errors import LayoutError, SpecError, TaskError, TaskPromptError, shown
from taskprompt.core.task import Task
from taskprompt.core.types import Batch
from taskprompt.distributed import collective
from taskprompt.distributed.sharding import is_sharded
from taskprompt.nn.precision import autocast
from taskprompt.train.losses import Loss, task_losses
from taskprompt.train.mixup import mixup
from taskprompt.train.not_finite import check_finite

Use = Callable[[dict[str, Loss]], None]


class Passes:
    """One optimizer step of a model: computes losses and gradients by task if the balance requests them, then one
    backward pass per batch."""

    def __init__(
        self,
        model: nn.Module,
        tasks: Mapping[str, Task],
        group: list[Batch],
        counts: Mapping[str, float],
        *,
        precision: str,
        mixup: float,
        seeded: Callable[[], AbstractContextManager],
    ):
        self.model, self.tasks, self.group, self.counts = model, tasks, group, counts
        self.precision, self.mixup, self.seeded = precision, mixup, seeded
        self.present = {n: int(c) for n, c in counts.items() if c}  # tasks with labels in this step, on any worker
        self.device = group[0].video.device
        self.measured: dict[str, float] | None = None
        self.kept: dict[str, Loss] | None = None  # in a step of one batch: losses whose graph is still needed
        self.parts: dict[str, list[nn.Parameter]] = {}  # parts whose gradients were requested

    def answer(self, balance: Balance, generator: torch.Generator) -> LossWeights | JoinedGradients:
        """The balance's result for this step; it is not called if no task has labels. Raises TaskError if its code
        fails, LayoutError if its result does not fit."""
        if not self.present:
            return LossWeights({})
        first, last = ({n: known[n] for n in self.present if n in known} for known in (balance.first, balance.last))
        step = TaskGradients(self.present, first, last, generator, self.losses, self.gradients)
        try:
            answer = balance.step(step)
        except (TaskPromptError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            text, where = " ".join(str(error).split()), f"{type(balance).__name__}.step"
            raise TaskError(f"balancer: {type(error).__name__}: {text}. Correct {where}.") from error
        sizes = {part: sum(p.numel() for p in parameters) for part, parameters in self.parts.items()}
        check_answer(answer, balance, self.present, sizes)
        parts = answer.parts if isinstance(answer, JoinedGradients) else ()
        joined = [p for part in parts for p in self.parts[part]]
        if len(joined) != len(set(joined)):
            raise LayoutError(
                f"{type(balance).__name__}.step returned gradients for {', '.join(self.parts)}, which have parameters "
                "in common. Return parts that do not overlap."
            )
        return answer

    def losses(self) -> dict[str, float]:
        """task -> its loss in this step. The graph of a single batch is kept for `backward`; several batches are
        computed without gradients."""
        if self.measured is None:
            with torch.set_grad_enabled(len(self.group) == 1):
                self._measure(lambda losses: None)
        assert self.measured is not None
        return self.measured

    def gradients(self, part: str) -> dict[str, Tensor]:
        """task -> p: its gradient with respect to the trained parameters of a part, summed over batches and workers."""
        if is_sharded(self.model):
            raise SpecError(
                f"balancer: the gradients of {part!r} by task are not available where FSDP shards the weights. Set "
                "runtime.parallel: ddp, or use a balancer that weighs losses."
            )
        if any(m._compiled_call_impl is not None for m in self.model.modules()):  # allows only one backward pass
            raise SpecError(
                f"balancer: the gradients of {part!r} by task are not available from a compiled encoder. Set "
                "runtime.compile: false, or use a balancer that weighs losses."
            )
        parameters = self.parts.get(part) or trained(self.model, part)
        rows = {n: torch.zeros(sum(p.numel() for p in parameters), device=self.device) for n in self.present}

        def add(losses: dict[str, Loss]) -> None:
            for name, row in rows.items():
                if not losses[name].share.requires_grad:
                    continue
                # Not into .grad, so that DDP's hooks are not called.
                found = torch.autograd.grad(losses[name].share, parameters, retain_graph=True, allow_unused=True)
                for g, into in zip(found, row.split([p.numel() for p in parameters]), strict=True):
                    if g is not None:
                        into += g.flatten()

        self._measure(add)
        self.parts[part] = parameters
        for row in rows.values():
            collective.sum_in_place(row)
        # Before the balance uses them: all workers have the same rows.
        check_finite([0.0, float(sum(r.norm() for r in rows.values()))], self.group, [{} for _ in self.group])
        return rows

    def backward(self, answer: LossWeights | JoinedGradients) -> tuple[Tensor, list[dict[str, Loss]]]:
        """Add the gradients of the step to all parameters of the model.

        Returns the tasks' losses and the total over all workers, float64 on the CPU, and the losses a batch."""
        weights = answer.tasks if isinstance(answer, LossWeights) else {}
        plain = {n: w.detach().to(self.device) if isinstance(w, Tensor) else w for n, w in weights.items()}
        workers, sums = collective.world()[1], torch.zeros(len(self.tasks) + 1, dtype=torch.float64)
        found: list[dict[str, Loss]] = []

        def add(losses: dict[str, Loss]) -> None:
            nonlocal sums
            # DDP and FSDP average gradients over workers, while our losses are contributions to one sum.
            total = torch.stack([plain.get(n, 1.0) * (loss.share * workers) for n, loss in losses.items()]).sum()
            total.backward()
            shares = [losses[n].share.detach() for n in self.tasks]
            sums += torch.stack([*shares, total.detach() / workers]).double().cpu()
            found.append(losses)

        self._each(add)
        if isinstance(answer, JoinedGradients):
            for part, joined in answer.parts.items():
                write_gradient(self.parts[part], joined)
        return collective.total(sums, self.device), found

    def _measure(self, use: Use) -> None:
        """Compute the losses of every batch without ending the step. Raises NotFinite."""
        sums, found = torch.zeros(len(self.tasks), dtype=torch.float64), []

        def add(losses: dict[str, Loss]) -> None:
            nonlocal sums
            use(losses)
            sums += torch.stack([losses[n].share.detach() for n in self.tasks]).double().cpu()
            found.append(
                losses if len(self.group) == 1 else {n: Loss(v.share.detach(), v.each) for n, v in losses.items()}
            )

        self._each(add, measuring=True)
        sums = collective.total(sums, self.device)
        check_finite([*sums.tolist(), float(sums.sum()), 0.0], self.group, found)
        self.measured = {n: v for n, v in zip(self.tasks, sums.tolist(), strict=True) if n in self.present}
        self.kept = found[0] if len(self.group) == 1 else None

    def _each(self, use: Use, measuring: bool = False) -> None:
        """The losses of each batch, with the same random numbers in each pass over the batches."""
        count = len(self.group)
        with self.seeded():
            for i, batch in enumerate(self.group):
                with hold_gradients(self.model, i + 1 < count or (measuring and count > 1)):
                    use(self.kept or self._forward(batch))

    def _forward(self, batch: Batch) -> dict[str, Loss]:
        batch, mix = mixup(batch, self.tasks, self.mixup) if self.mixup else (batch, None)
        with autocast(batch.video.device, self.precision):
            try:
                outputs = self.model(batch.video, {n: batch.rows[n] for n in self.tasks}, batch.inputs)
            except TaskError as error:  # errors in heads do not name the clips
                error.args = (f"{error.text.rstrip('.')}. Met on {shown(batch.keys)}.",)
                raise
        outputs = {n: o.float() for n, o in outputs.items()}
        return task_losses(self.tasks, outputs, batch, self.counts, collective.pool, mix)


def trained(model: nn.Module, part: str) -> list[nn.Parameter]:
    """The trained parameters of a part. Raises SpecError if there is no such part, or it is frozen."""
    module = getattr(model, "module", model)  # inside of DDP
    for name in part.split("."):
        last = isinstance(module, nn.ModuleList) and name.lstrip("-").isdigit()
        children = dict(module.named_children())
        at = int(name) % len(children) if last and children and -len(children) <= int(name) < len(children) else name
        if str(at) not in children:
            known = ", ".join(children) or "none"
            raise SpecError(f"balancer: the model has no part {part!r}: {name!r} is not one of {known}.")
        module = children[str(at)]
    if not (parameters := [p for p in module.parameters() if p.requires_grad]):
        raise SpecError(
            f"balancer: this stage trains no parameters of {part!r}. Remove it from `freeze`, or name another part."
        )
    return parameters


def write_gradient(parameters: list[nn.Parameter], joined: Tensor) -> None:
    """Set the .grad of the parameters from a flat vector p."""
    for p, piece in zip(parameters, joined.detach().split([p.numel() for p in parameters]), strict=True):
        piece = piece.view_as(p).to(p.device, p.dtype)
        p.grad = piece.clone() if p.grad is None else p.grad.copy_(piece)


@contextmanager
def hold_gradients(model: nn.Module, hold: bool) -> Iterator[None]:
    """Workers exchange gradients once per optimizer step, not once per batch."""
    if hasattr(model, "set_requires_gradient_sync"):  # sharded
        model.set_requires_gradient_sync(not hold)  # type: ignore[operator]
        yield
    else:
        with model.no_sync() if hold and hasattr(model, "no_sync") else nullcontext():  # type: ignore[operator]
            yield
