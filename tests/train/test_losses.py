import pytest
import torch
from torch import Tensor, nn

from taskprompt.core.errors import LayoutError
from taskprompt.core.meters import Means
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Batch
from taskprompt.train.losses import label_counts, task_losses


class Square(Task):
    """Output and target are a number a sample; the loss is their squared difference."""

    layout = {"y": Array("")}

    def target(self, label, sample):
        return {"y": label}

    def head(self, dims):
        return nn.Identity()

    def loss(self, output, target):
        return (output - target["y"]).square()


class Averaged(Square):
    """The usual mistake."""

    def loss(self, output, target):
        return (output - target["y"]).square().mean()


def batch(rows: list[int], y: list[float]) -> Batch:
    return Batch(list("abcd"), torch.zeros(4, 1, 1, 1, 3), {"t": {"y": torch.tensor(y)}}, {"t": torch.tensor(rows)})


def test_losses_are_normalised_by_the_count_of_the_whole_step():
    output = torch.tensor([1.0, 2.0])
    losses = task_losses({"t": Square()}, {"t": output}, batch([0, 3], [0.0, 0.0]), {"t": 5})
    assert losses["t"].share.item() == (1 + 4) / 5


def test_two_workers_sum_to_what_one_would_say():
    whole = task_losses({"t": Square()}, {"t": torch.tensor([1.0, 2.0, 4.0])}, batch([0, 1, 2], [0.0] * 3), {"t": 3})
    first = task_losses({"t": Square()}, {"t": torch.tensor([1.0])}, batch([0], [0.0]), {"t": 3})
    second = task_losses({"t": Square()}, {"t": torch.tensor([2.0, 4.0])}, batch([1, 2], [0.0] * 2), {"t": 3})
    assert (first["t"].share + second["t"].share).item() == whole["t"].share.item() == 7


def test_a_task_without_a_label_costs_nothing_and_keeps_its_gradient():
    output = torch.tensor([3.0], requires_grad=True)  # the one sample that a head without rows runs on
    losses = task_losses({"t": Square()}, {"t": output}, batch([], []), {"t": 0})
    losses["t"].share.backward()
    assert losses["t"].share.item() == 0
    assert output.grad is not None
    assert output.grad.tolist() == [0]


def test_a_loss_that_averages_over_samples_is_an_error():
    with pytest.raises(LayoutError, match=r"task 't': loss has shape \(\), expected \(2,\).*Averaged.loss"):
        task_losses({"t": Averaged()}, {"t": torch.tensor([1.0, 2.0])}, batch([0, 1], [0.0] * 2), {"t": 2})


def test_label_counts():
    counts = label_counts([batch([0, 3], [1.0, 2.0]), batch([1], [1.0])], ["t", "absent"])
    assert counts.tolist() == [3, 0]
    assert counts.dtype == torch.float64


def test_means_leave_out_what_cannot_be_measured():
    def metrics(output: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"error": (output - target["y"]).abs()}

    meter = Means(metrics)
    meter.update(torch.tensor([1.0, 2.0]), {"y": torch.tensor([0.0, torch.nan])})
    meter.update(torch.tensor([5.0]), {"y": torch.tensor([0.0])})
    assert meter.compute()["error"].item() == 3
    meter.reset()
    meter.update(torch.tensor([5.0]), {"y": torch.tensor([torch.nan])})
    assert meter.compute()["error"].isnan()
