import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_jaccard_index

from taskprompt.core.errors import SampleError
from taskprompt.core.types import Clip, Sample
from taskprompt.tasks.segmentation import Segmentation

THREE = Segmentation(classes=("floor", "wall", "person"))
TRUE = {"index": torch.tensor([0, 0, 1, 255], dtype=torch.uint8).view(1, 1, 1, 4)}
FOUND = 5.0 * F.one_hot(torch.tensor([0, 1, 1, 2]), 3).view(1, 1, 1, 4, 3)


def sample(height, width):
    return Sample("a", Clip(np.zeros((1, height, width, 3), np.uint8), np.zeros(1)))


def test_target_is_the_nearest_pixel():
    label = np.array([[[0, 1, 2, 255], [2, 2, 1, 0]]], np.uint8)
    target = Segmentation(classes=3, height=1, width=2).target(label, sample(2, 4))
    assert target["index"].tolist() == [[[2, 0]]]  # the centres of the cells lie in row 1, columns 1 and 3


def test_a_class_out_of_range_is_a_bad_sample():
    with pytest.raises(SampleError, match="class 3, expected 0 to 2"):
        Segmentation(classes=3, height=1, width=2).target(np.array([[[3, 3]]], np.uint8), sample(1, 2))


def test_loss_by_hand():
    output = torch.zeros(1, 1, 1, 4, 3)
    output[..., 0, 0] = math.log(2)  # 2/4 for the right class, elsewhere 1/3
    expected = (math.log(2) + 2 * math.log(3)) / 3
    assert THREE.loss(output, TRUE).item() == pytest.approx(expected)


def test_metrics_by_hand():
    found = THREE.metrics(FOUND, TRUE)  # IoU 1/2 of floor, 1/2 of wall; person occurs nowhere that counts
    assert found["mIoU"].item() == pytest.approx(0.5)
    assert found["pixel_accuracy"].item() == pytest.approx(2 / 3)


def test_miou_is_that_of_the_whole_set():
    meter = THREE.meter()
    meter.update(FOUND, TRUE)
    meter.update(FOUND, {"index": torch.tensor([0, 1, 1, 2], dtype=torch.uint8).view(1, 1, 1, 4)})  # all right
    found = meter.compute()  # floor 2 of 3, wall 3 of 4, person 1 of 1
    assert found["mIoU"].item() == pytest.approx((2 / 3 + 3 / 4 + 1) / 3)
    assert found["pixel_accuracy"].item() == pytest.approx(6 / 7)
    assert THREE.meter().compute()["mIoU"].isnan()


def test_miou_is_torchmetrics():
    draw = torch.Generator().manual_seed(0)
    output = torch.randn(3, 2, 5, 6, 4, generator=draw)
    index = torch.randint(0, 4, (3, 2, 5, 6), generator=draw).to(torch.uint8)
    index[:, :, 0] = 255
    meter = Segmentation(classes=4).meter()
    meter.update(output, {"index": index})
    expected = multiclass_jaccard_index(output.argmax(-1), index.int(), 4, ignore_index=255)
    assert meter.compute()["mIoU"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_trivial_is_the_most_frequent_class_of_each_pixel():
    index = torch.tensor([[0, 2], [0, 1], [1, 255]], dtype=torch.uint8).view(3, 1, 1, 2)
    trivial = Segmentation(classes=3, height=1, width=2).trivial({"index": index})
    assert trivial.shape == (1, 1, 1, 2, 3)
    assert trivial.exp()[0, 0, 0, 0].tolist() == pytest.approx([2.5 / 4.5, 1.5 / 4.5, 0.5 / 4.5])


def test_answer_and_picture():
    assert THREE.answer(FOUND[0]) == {"floor": 0.25, "wall": 0.5, "person": 0.25}
    video = np.zeros((1, 2, 8, 3), np.uint8)
    picture = THREE.picture(THREE.perfect(TRUE)[0], video)
    assert (picture[0, :, 0] == picture[0, :, 3]).all()  # floor and floor
    assert (picture[0, :, 3] != picture[0, :, 4]).any()  # floor and wall
    assert (picture[0, :, 6:] == 0).all()  # unknown
