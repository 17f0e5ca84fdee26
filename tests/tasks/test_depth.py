import numpy as np
import pytest
import torch

from taskprompt.core.errors import SampleError
from taskprompt.core.types import Clip, Sample
from taskprompt.tasks.depth import Depth

NAN = float("nan")
TRUE = torch.tensor([2.0, 4.0, 8.0, NAN]).view(1, 1, 1, 4)  # metres
FOUND = torch.tensor([0.3, 0.4, 0.6, 0.9]).view(1, 1, 1, 4, 1)  # of 10 metres


def sample(height, width, frames=1):
    return Sample("a", Clip(np.zeros((frames, height, width, 3), np.uint8), np.arange(float(frames))))


def test_target_is_the_nearest_pixel_clipped_at_far():
    label = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    label[0, 3, 3] = 99
    target = Depth(height=2, width=2, far=12).target(label, sample(4, 4))["depth"]
    assert target.tolist() == [[[5, 7], [12, 12]]]  # 13 and 99 are clipped


def test_what_is_not_known_is_nan():
    label = np.array([[[NAN, 0, -1, np.inf]]], np.float32)
    target = Depth(height=1, width=4).target(label, sample(1, 4))["depth"]
    assert np.isnan(target[0, 0, :3]).all()
    assert target[0, 0, 3] == 10


def test_a_map_of_another_size_is_a_bad_sample():
    with pytest.raises(SampleError, match=r"\(1, 4, 5\), expected \(1, 4, 4\)"):
        Depth().target(np.zeros((1, 4, 5)), sample(4, 4))


def test_loss_by_hand():
    assert Depth().loss(FOUND, {"depth": TRUE}).item() == pytest.approx((0.01 + 0 + 0.04) / 3)


def test_beyond_far_a_prediction_is_right_only_where_the_target_is_there_too():
    output = torch.tensor([1.4, 1.4]).view(1, 1, 1, 2, 1).requires_grad_()
    loss = Depth().loss(output, {"depth": torch.tensor([10.0, 2.0]).view(1, 1, 1, 2)})
    loss.sum().backward()
    assert loss.item() == pytest.approx(1.2**2 / 2)
    assert output.grad is not None
    assert output.grad.flatten().tolist() == pytest.approx([0, 1.2])


def test_metrics_by_hand():
    found = Depth().metrics(FOUND, {"depth": TRUE})  # 3, 4, 6 metres for 2, 4, 8
    assert found["AbsRel"].item() == pytest.approx((1 / 2 + 0 + 1 / 4) / 3)
    assert found["RMSE_m"].item() == pytest.approx((5 / 3) ** 0.5)
    assert found["delta1"].item() == pytest.approx(1 / 3)


def test_the_meter_sums_pixels_and_beside_them_averages_images():
    task, meter = Depth(), Depth().meter()
    meter.update(FOUND, {"depth": TRUE})
    one = torch.tensor([5.0, NAN, NAN, NAN]).view(1, 1, 1, 4)  # a second image with a single known pixel, 3 for 5
    meter.update(FOUND, {"depth": one})
    meter.update(FOUND, {"depth": torch.full_like(TRUE, NAN)})  # and one with none, which is no image
    found = meter.compute()
    assert found["AbsRel"].item() == pytest.approx((0.75 + 0.4) / 4)
    assert found["RMSE_m"].item() == pytest.approx(((5 + 4) / 4) ** 0.5)
    assert found["delta1"].item() == pytest.approx(1 / 4)
    assert found["AbsRel_image"].item() == pytest.approx((0.25 + 0.4) / 2)
    assert found["RMSE_m_image"].item() == pytest.approx(((5 / 3) ** 0.5 + 2) / 2)
    assert found["delta1_image"].item() == pytest.approx((1 / 3 + 0) / 2)
    assert task.meter().compute()["AbsRel"].isnan()


def test_predictions_below_zero_are_measured_as_very_near_and_left_as_they_are():
    output = torch.full((1, 1, 1, 4, 1), -0.5)
    found = Depth().metrics(output, {"depth": TRUE})
    assert found["AbsRel"].item() == pytest.approx(1, abs=1e-3)
    assert (output == -0.5).all()


def test_trivial_is_the_mean_of_each_pixel():
    depth = torch.tensor([[2.0, 4.0, NAN], [4.0, NAN, NAN]]).view(2, 1, 1, 3)
    trivial = Depth(height=1, width=3).trivial({"depth": depth})
    assert trivial.flatten().tolist() == pytest.approx([0.3, 0.4, (2 + 4 + 4) / 30])


def test_picture_is_bright_near_dark_far_and_black_where_unknown():
    output = torch.tensor([[0.05, 0.9], [0.05, NAN]]).view(1, 2, 2, 1)
    picture = Depth().picture(output, np.zeros((1, 8, 8, 3), np.uint8))
    assert picture.shape == (1, 8, 8, 3)
    assert picture[0, 0, 0].sum() > 550
    assert picture[0, 0, 7].sum() < 250
    assert picture[0, 7, 7].sum() == 0
