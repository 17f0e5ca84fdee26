import math

import numpy as np
import pytest
import torch

from taskprompt.core.errors import SampleError
from taskprompt.core.types import Clip, Sample
from taskprompt.tasks.boxes import Boxes

NAN = float("nan")
SAMPLE = Sample("a", Clip(np.zeros((1, 20, 40, 3), np.uint8), np.zeros(1)))  # 20 high, 40 wide


def logits(boxes, chances):
    """cx cy w h and chances -> m frames slots 5, of one clip of one frame."""
    return torch.tensor([[*b, c] for b, c in zip(boxes, chances, strict=True)]).logit(1e-6)[None, None]


def truth(*boxes):
    """cx cy w h or None -> the target of one clip of one frame."""
    values = torch.tensor([b or (0.0, 0.0, 0.0, 0.0) for b in boxes])[None, None]
    return {"boxes": values, "seen": torch.tensor([float(b is not None) for b in boxes])[None, None]}


HALF, WIDE, CORNER = (0.5, 0.5, 0.25, 0.5), (0.5, 0.5, 0.5, 0.5), (0.1, 0.1, 0.2, 0.2)


def test_target_is_in_units_of_the_frame_and_cut_there():
    label = np.array([[[10, 5, 30, 15], [NAN] * 4, [-20, -10, 20, 10], [50, 5, 60, 9]]])  # the last lies outside
    target = Boxes(slots=5).target(label, SAMPLE)
    assert target["boxes"][0, 0].tolist() == [0.5, 0.5, 0.5, 0.5]
    assert target["boxes"][0, 2].tolist() == [0.25, 0.25, 0.5, 0.5]
    assert target["seen"].tolist() == [[True, False, True, False, False]]
    assert (target["boxes"][0, [1, 3, 4]] == 0).all()


def test_objects_beyond_the_slots_are_left_out():
    label = np.array([[[NAN] * 4, [0, 0, 10, 10], [0, 0, 20, 10]]])
    assert Boxes(slots=2).target(label, SAMPLE)["seen"].tolist() == [[False, True]]
    free = Boxes(slots=2, match="hungarian").target(label, SAMPLE)  # the first two that are seen
    assert free["seen"].tolist() == [[True, True]]
    assert free["boxes"][0, :, 2].tolist() == [0.25, 0.5]


@pytest.mark.parametrize("shape", [(1, 4), (2, 3, 4), (1, 3, 5)])
def test_another_shape_is_a_bad_sample(shape):
    with pytest.raises(SampleError, match="expected"):
        Boxes().target(np.zeros(shape), SAMPLE)


def test_loss_by_hand():
    output = logits([HALF, CORNER], [0.5, 0.25])
    loss = Boxes(slots=2).loss(output, truth(WIDE, None))
    # slot 0: L1 0.25 and GIoU 0.5; presence: 0.5 for a box that is there, 0.25 for one that is not
    expected = 0.25 + (1 - 0.5) + (math.log(2) + math.log(4 / 3)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_pairing_frees_the_order_of_slots():
    output, target = logits([CORNER, WIDE], [0.9, 0.9]), truth(WIDE, CORNER)
    assert Boxes(slots=2, match="hungarian").metrics(output, target)["mean_IoU"].item() == pytest.approx(1, abs=1e-4)
    assert Boxes(slots=2).metrics(output, target)["mean_IoU"].item() < 0.1
    losses = [Boxes(slots=2, match="hungarian").loss(o, target).item() for o in (output, output.flip(2))]
    assert losses[0] == pytest.approx(losses[1])


def test_a_single_object_takes_the_better_of_two_slots():
    output, target = logits([CORNER, WIDE], [0.9, 0.2]), truth(WIDE, None)
    loss = Boxes(slots=2, match="hungarian").loss(output, target).item()
    assert loss == pytest.approx((-math.log(0.2) - math.log(0.1)) / 2, abs=1e-4)


def test_mean_iou_by_hand():
    output = logits([HALF, WIDE, CORNER], [0.9, 0.9, 0.9])
    found = Boxes(slots=3).metrics(output, truth(WIDE, WIDE, None))
    assert found["mean_IoU"].item() == pytest.approx((0.5 + 1) / 2, abs=1e-4)
    assert Boxes(slots=3).metrics(output, truth(None, None, None))["mean_IoU"].isnan()


def test_ap50_by_hand():
    meter = Boxes(slots=2).meter()
    meter.update(logits([WIDE, CORNER], [0.9, 0.8]), truth(WIDE, None))  # hit at 0.9, miss at 0.8
    meter.update(logits([CORNER, WIDE], [0.7, 0.6]), truth(WIDE, CORNER))  # hits at 0.7 and 0.6, in whatever slot
    meter.update(logits([CORNER, CORNER], [0.1, 0.1]), truth(WIDE, None))  # misses, and an object never found
    found = meter.compute()
    # ranked: hit miss hit hit miss miss of 4 objects; precision 1, 2/3, 3/4, whose envelope is 1, 3/4, 3/4
    assert found["AP50"].item() == pytest.approx((1 + 3 / 4 + 3 / 4) / 4)
    assert found["mean_IoU"].item() == pytest.approx(1 / 4, abs=1e-4)  # slot by slot, only the first object is met


def test_the_meter_of_nothing():
    assert Boxes().meter().compute()["AP50"].isnan()


def test_trivial_is_the_mean_box_and_how_often_it_is_seen():
    target = {
        "boxes": torch.tensor([[HALF, CORNER], [WIDE, (0.0,) * 4]]).view(2, 1, 2, 4),
        "seen": torch.tensor([[1.0, 1.0], [1.0, 0.0]]).view(2, 1, 2),
    }
    trivial = Boxes(slots=2).trivial(target).sigmoid()
    assert trivial[0, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.375, 0.5, 1], abs=1e-3)
    assert trivial[0, 0, 1].tolist() == pytest.approx([*CORNER, 0.5], abs=1e-3)


def test_answer_and_picture():
    output = logits([WIDE, CORNER], [0.75, 0.25])[0]
    task = Boxes(slots=2)
    assert task.answer(output) == [[{"slot": 0, "box": [0.25, 0.25, 0.75, 0.75], "confidence": 0.75}]]
    picture = task.picture(output, np.zeros((1, 40, 40, 3), np.uint8))
    drawn = picture[0].any(-1)
    rows, columns = drawn.nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 30, 10, 30)
    assert not drawn[12:28, 12:28].any()  # an outline
