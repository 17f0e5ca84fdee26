import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torchmetrics.functional.classification import multiclass_accuracy

from taskprompt.core.errors import SampleError
from taskprompt.core.task import Task
from taskprompt.core.types import Clip, Sample
from taskprompt.tasks.action import Action

SAMPLE = Sample("a", Clip(np.zeros((2, 8, 8, 3), np.uint8), np.arange(2.0)))


def test_a_name_or_a_number_is_a_target():
    task = Action(classes=("walk", "run", "jump"))
    assert task.target("run", SAMPLE)["index"] == 1
    assert task.target(2, SAMPLE)["index"] == 2
    assert task.target(np.int64(0), SAMPLE)["index"] == 0


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("rnu", "Did you mean 'run'"),
        (3, "expected 0 to 2"),
        (-1, "expected 0 to 2"),
        (True, "not in the"),
        ([1], "[1]"),
    ],
)
def test_a_label_out_of_the_list_is_a_bad_sample(label, says):
    with pytest.raises(SampleError) as error:
        Action(classes=("walk", "run", "jump")).target(label, SAMPLE)
    assert says in str(error.value)


def test_classes_are_read_from_a_file_once(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("push up\n\n  pull up \n", encoding="utf-8")
    task = Task.model_validate({"kind": "action", "classes": str(path)})
    path.unlink()
    assert task.model_dump()["classes"] == ("push up", "pull up")
    assert Task.model_validate(task.model_dump(mode="json")) == task


def test_classes_by_their_count():
    assert Action(classes=3).names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("classes", "says"),
    [(["a"], "two or more"), (["a", "b", "a"], "'a' occurs 2 times"), ("none.txt", "cannot be read")],
)
def test_bad_classes(classes, says):
    with pytest.raises(ValidationError, match=says):
        Task.model_validate({"kind": "action", "classes": classes})


def test_loss_by_hand():
    output = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])  # the first: 3/4 and 1/4
    target = {"index": torch.tensor([0, 1])}
    assert Action(classes=2).loss(output, target).tolist() == pytest.approx([math.log(4 / 3), math.log(2)])
    smooth = Action(classes=2, label_smoothing=0.2).loss(output, target)
    assert smooth[0].item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


def test_top1_and_top5_are_torchmetrics():
    draw = torch.Generator().manual_seed(0)
    output, index = torch.randn(50, 9, generator=draw), torch.randint(0, 9, (50,), generator=draw)
    found = Action(classes=9).metrics(output, {"index": index})
    for name, k in (("top1", 1), ("top5", 5)):
        expected = multiclass_accuracy(output, index, 9, average="micro", top_k=k)
        assert found[name].mean().item() == pytest.approx(expected.item())


def test_top5_needs_more_than_five_classes():
    target = {"index": torch.tensor([0])}
    assert set(Action(classes=5).metrics(torch.zeros(1, 5), target)) == {"top1"}
    assert set(Action(classes=6).metrics(torch.zeros(1, 6), target)) == {"top1", "top5"}


def test_trivial_is_the_majority():
    trivial = Action(classes=3).trivial({"index": torch.tensor([2, 0, 2, 2])})
    assert trivial.exp().tolist() == [pytest.approx([1.5 / 5.5, 0.5 / 5.5, 3.5 / 5.5])]


def test_answer_and_picture():
    task = Action(classes=("walk", "run", "jump"))
    output = torch.tensor([0.0, math.log(2), 0.0])
    assert task.answer(output)[0] == {"label": "run", "confidence": 0.5}
    assert len(task.answer(output)) == 3
    video = np.full((2, 48, 64, 3), 100, np.uint8)
    picture = task.picture(output, video)
    assert (picture[:, :30] == 100).all()
    assert picture[:, 40:].max() > 200  # white letters on a dark band
    assert (video == 100).all()
