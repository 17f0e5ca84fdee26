import math

import numpy as np
import pytest
import torch

from taskprompt.core.types import Clip, Sample
from taskprompt.tasks.normal import Normal

NAN = float("nan")
TRUE = torch.tensor([[0, 0, -1], [0, 0, -1], [0, 0, -1], [NAN] * 3]).view(1, 1, 1, 4, 3)
FOUND = torch.tensor([[0, 0, -2], [1, 0, -1], [0, 0, 1], [1, 1, 1]]).float().view(1, 1, 1, 4, 3)  # 0, 45, 180 degrees


def test_target_is_the_mean_over_known_pixels_at_length_one():
    label = np.full((1, 2, 4, 3), np.nan, np.float32)
    label[0, 0, 0], label[0, 1, 0] = (1, 0, 0), (0, 0, -1)  # two of the first cell's four pixels
    video = np.zeros((1, 2, 4, 3), np.uint8)
    target = Normal(height=1, width=2).target(label, Sample("a", Clip(video, np.zeros(1))))["normal"]
    assert target[0, 0, 0].tolist() == pytest.approx([math.sqrt(0.5), 0, -math.sqrt(0.5)])
    assert np.isnan(target[0, 0, 1]).all()


def test_loss_by_hand():
    loss = Normal().loss(FOUND, {"normal": TRUE})
    assert loss.item() == pytest.approx((1 + 1 + 4) / 9)  # three pixels of three axes


def test_metrics_by_hand():
    found = Normal().metrics(FOUND, {"normal": TRUE})
    assert found["mean_deg"].item() == pytest.approx(75)
    assert found["median_deg"].item() == pytest.approx(45)
    assert found["within_11.25_deg"].item() == pytest.approx(1 / 3)


def test_the_meter_takes_the_median_over_all_pixels():
    angles = torch.tensor([3.0, 7.0, 20.0, 50.0, 170.0, 171.0, 172.0])
    found = torch.stack([angles.deg2rad().sin(), torch.zeros(7), -angles.deg2rad().cos()], -1)
    true = torch.tensor([0.0, 0.0, -1.0]).expand(7, 3)
    meter = Normal().meter()
    for part in (slice(0, 3), slice(3, 7)):  # the parts' own medians are 7 and 170.5
        meter.update(found[None, None, None, part], {"normal": true[None, None, None, part]})
    result = meter.compute()
    assert result["median_deg"].item() == pytest.approx(50, abs=0.011)
    assert result["mean_deg"].item() == pytest.approx(angles.mean().item(), abs=1e-3)
    assert result["within_11.25_deg"].item() == pytest.approx(2 / 7)
    assert Normal().meter().compute()["median_deg"].isnan()


@pytest.mark.parametrize("degrees", [1e-3, 179.999])
def test_angles_keep_their_precision_at_both_ends(degrees):
    angle = math.radians(degrees)
    found = torch.tensor([math.sin(angle), 0, -math.cos(angle)]).view(1, 1, 1, 1, 3)
    value = Normal().metrics(found, {"normal": TRUE[..., :1, :]})["mean_deg"].item()
    assert value == pytest.approx(degrees, abs=2e-5)


def test_trivial_is_the_mean_normal():
    normal = torch.tensor([[[1.0, 0, 0], [NAN] * 3], [[0, 0, -1.0], [NAN] * 3]]).view(2, 1, 1, 2, 3)
    trivial = Normal(height=1, width=2).trivial({"normal": normal})
    assert trivial.view(2, 3).tolist() == [[0.5, 0, -0.5], [0.5, 0, -0.5]]


def test_a_surface_that_faces_the_camera_is_drawn_blue():
    output = torch.tensor([0.0, 0.0, -3.0]).expand(1, 2, 2, 3)
    picture = Normal().picture(output, np.zeros((1, 6, 6, 3), np.uint8))
    assert picture[0, 3, 3].tolist() == [128, 128, 255]
