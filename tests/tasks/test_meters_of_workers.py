"""Meters over two processes: what one worker measured is known to both, also where the other measured nothing."""

import multiprocessing

import pytest
import torch
from torch import distributed

from taskprompt.core.task import Task

TASKS = [{"kind": "depth"}, {"kind": "normal"}, {"kind": "segmentation", "classes": 3}, {"kind": "boxes", "slots": 2}]


def outputs_and_targets():
    """task, its output and target of three samples."""
    draw = torch.Generator().manual_seed(0)
    depth, index = torch.rand(3, 2, 4, 4, generator=draw) + 0.5, torch.randint(0, 3, (3, 2, 4, 4), generator=draw)
    normal, boxes = torch.randn(3, 2, 4, 4, 3, generator=draw), torch.rand(3, 2, 2, 4, generator=draw)
    targets = [{"depth": depth}, {"normal": normal}, {"index": index}, {"boxes": boxes, "seen": torch.ones(3, 2, 2)}]
    shapes = [(*depth.shape, 1), normal.shape, (*index.shape, 3), (3, 2, 2, 5)]
    for options, target, shape in zip(TASKS, targets, shapes, strict=True):
        yield Task.model_validate(options), torch.randn(shape, generator=draw), target


def measured(updates) -> dict[str, float]:
    found = {}
    for task, output, target in outputs_and_targets():
        meter = task.meter()
        for at in updates:
            meter.update(output[at], {k: v[at] for k, v in target.items()})
        found |= {f"{task.model_dump()['kind']}/{n}": float(v) for n, v in meter.compute().items()}
    return found


def work(rank: int, folder: str) -> tuple[dict[str, float], dict[str, float]]:
    """What a worker knows after the samples were shared out, and after the first worker had them all."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    shared = measured([[torch.tensor([0, 2])], [torch.tensor([1])]][rank])
    uneven = measured([[torch.arange(3)], []][rank])
    distributed.destroy_process_group()
    return shared, uneven


def second_worker(folder: str) -> None:
    torch.set_num_threads(1)
    torch.save(work(1, folder), f"{folder}/second.pt")


@pytest.mark.slow
def test_two_workers_measure_what_one_does(tmp_path):
    expected = measured([torch.arange(3)])
    assert len(expected) == 6 + 3 + 2 + 2
    second = multiprocessing.get_context("spawn").Process(target=second_worker, args=(str(tmp_path),))
    second.start()
    here = work(0, str(tmp_path))
    second.join()
    there = torch.load(tmp_path / "second.pt")
    for found in (*here, *there):
        assert found == pytest.approx(expected, abs=1e-5)
