"""What check_task asks of the numbers of a task: its meter, the metrics that it declares, merged test clips."""

import pickle

import numpy as np
import torch
from torch import Tensor

from taskprompt.core.task import Task

Target = dict[str, Tensor]


def check_measures(task: Task, outputs: list[Tensor], target: Target) -> None:
    """The meter gives what `measures` declares: these names, shares in 0 to 1, and means over clips where it says so.

    A task that declares nothing passes."""
    declared = task.declared()
    for output in outputs if declared else ():
        found, each = measured(task, output, target), task.metrics(output, target)
        for name in sorted(declared.keys() ^ found.keys()):
            lacks = "the meter does not give it" if name in declared else "measures() does not declare it"
            raise AssertionError(f"metric {name}: {lacks}")
        for name, metric in declared.items():
            value = float(found[name])
            outside = metric.unit == "%" and not np.isnan(value) and not -1e-4 <= value <= 1.0001
            assert not outside, f"metric {name}: is {value}, expected a share in 0 to 1, since its unit is %"
            if metric.over == "clip":
                assert name in each, f'metric {name}: metrics() does not give it; declare it with over="set"'
                mean = each[name].nanmean()
                said = f'its mean over clips {float(mean)}; declare it with over="set"'
                assert close(found[name], mean), f"metric {name}: the meter says {value}, {said}"


def check_meter(task: Task, output: Tensor, target: Target) -> None:
    """Fed in two parts, in any order, it says the same as fed at once."""
    at = torch.arange(len(output))
    parts = [at[len(at) // 2 :], at[: len(at) // 2]]
    whole, halves = task.meter(), task.meter()
    pickle.dumps(whole)  # raises where it cannot be sent to a worker
    whole.update(output, target)
    for part in parts:
        halves.update(output[part], select(target, part))
    expected, found = whole.compute(), halves.compute()
    assert set(found) == set(expected), f"the meter's figures depend on the batches: {set(found) ^ set(expected)}"
    for name, value in expected.items():
        assert value.numel() == 1, f"the meter's {name} has shape {tuple(value.shape)}, expected a scalar"
        assert close(found[name], value), f"the meter's {name} is {found[name]} in two batches, {value} in one"


def check_merge(task: Task, output: Tensor, target: Target) -> None:
    """Test clips that a model sees alike are measured like one of them."""
    if not task.of_video:
        return
    merged = task.merge(torch.stack([output, noise(output, 4)]))
    assert merged.shape == output.shape, f"merge gives the shape {tuple(merged.shape)}, expected {tuple(output.shape)}"
    alike = task.metrics(task.merge(torch.stack([output] * 3)), target)
    for name, value in task.metrics(output, target).items():
        assert close(alike[name], value), f"{name} of three equal outputs that are merged is not that of one"


def measured(task: Task, output: Tensor, target: Target) -> Target:
    """What a new meter says of one batch."""
    meter = task.meter()
    meter.update(output, target)
    return meter.compute()


def noise(output: Tensor, seed: int) -> Tensor:
    """Random numbers in the shape of an output."""
    return torch.randn(output.shape, generator=torch.Generator().manual_seed(seed))


def select(target: Target, at: Tensor) -> Target:
    """The targets of some samples."""
    return {k: v[at] for k, v in target.items()}


def close(a: Tensor, b: Tensor) -> bool:
    """Equal but for rounding; NaN equals NaN."""
    return torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5, equal_nan=True)
