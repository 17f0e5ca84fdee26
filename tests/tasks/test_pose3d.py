import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from taskprompt.core.errors import SampleError
from taskprompt.core.types import Clip, Sample
from taskprompt.tasks.pose3d import JOINTS, LIMBS, Pose3d, similar

NAN = float("nan")


def poses(*shape, seed=0):
    pose = torch.randn(*shape, 25, 3, generator=torch.Generator().manual_seed(seed)) * 0.3
    return pose - pose[..., :1, :]


def sample(frames):
    return Sample("a", Clip(np.zeros((frames, 8, 8, 3), np.uint8), np.arange(float(frames))))


def test_the_joints_are_kinects():
    assert len(JOINTS) == 25
    assert (JOINTS[0], JOINTS[3], JOINTS[7], JOINTS[20]) == ("spine_base", "head", "hand_left", "spine_shoulder")
    assert {j for limb in LIMBS for j in limb} == set(range(25))
    assert sum(len(limb) - 1 for limb in LIMBS) == 24  # a tree


def test_target_is_relative_to_the_pelvis():
    label = np.full((2, 25, 3), 4.0, np.float32)
    label[0, 3] = (4.1, 3.3, 4.2)
    label[0, 5] = NAN
    label[1, 0] = NAN  # no pelvis, no pose
    joints = Pose3d().target(label, sample(2))["joints"]
    assert joints[0, 3].tolist() == pytest.approx([0.1, -0.7, 0.2], abs=1e-6)
    assert np.isnan(joints[0, 5]).all()
    assert np.isnan(joints[1]).all()


def test_another_shape_is_a_bad_sample():
    with pytest.raises(SampleError, match=r"\(2, 17, 3\), expected \(2, 25, 3\)"):
        Pose3d().target(np.zeros((2, 17, 3)), sample(2))


def test_loss_by_hand():
    true = poses(1, 2)
    found = true.clone()
    found[0, 0, 7, 1] += 0.3
    true[0, 1, 3] = NAN
    loss = Pose3d().loss(found, {"joints": true})
    assert loss.item() == pytest.approx(0.09 / (2 * 75 - 3))


def test_mpjpe_by_hand():
    true = poses(1, 2)
    found = true.clone()
    found[0, 0, 7] += torch.tensor([0.03, 0.04, 0])  # 50 mm
    true[0, 1, 3] = NAN
    assert Pose3d().metrics(found, {"joints": true})["MPJPE_mm"].item() == pytest.approx(50 / 49, rel=1e-4)
    moved = found + torch.tensor([1.0, 2.0, 3.0])
    assert Pose3d().metrics(moved, {"joints": true})["MPJPE_mm"].item() == pytest.approx(50 / 49, rel=1e-3)


def test_pa_mpjpe_forgives_a_similarity_but_no_mirror_image():
    true = poses(2, 4)
    turn = torch.tensor(Rotation.from_euler("xyz", [1.0, 2.0, 3.0]).as_matrix(), dtype=torch.float32)
    found = Pose3d().metrics(0.5 * true @ turn + 1, {"joints": true})
    assert found["PA_MPJPE_mm"].max() < 0.01
    assert found["MPJPE_mm"].min() > 100
    mirrored = Pose3d().metrics(true * torch.tensor([-1.0, 1, 1]), {"joints": true})
    assert mirrored["PA_MPJPE_mm"].min() > 50


def test_alignment_is_scipys():
    found, true = poses(seed=1), poses(seed=2)
    x, y = (p.double().numpy() - p.double().numpy().mean(0) for p in (found, true))
    turned = Rotation.align_vectors(y, x)[0].apply(x)
    expected = turned * (turned * y).sum() / (x**2).sum() + true.double().numpy().mean(0)
    known = torch.ones(25, dtype=torch.bool)
    assert np.allclose(similar(found, true, known).numpy(), expected, atol=1e-5)


def test_alignment_looks_at_known_joints_alone():
    true = poses()
    known = torch.arange(25) < 10
    found = true @ torch.tensor(Rotation.from_euler("xyz", [3.0, 1.0, 2.0]).as_matrix(), dtype=torch.float32)
    found[10:] = 7
    found[20:] = NAN
    assert torch.allclose(similar(found, true, known)[:10], true[:10], atol=1e-5)


def test_frames_of_under_three_joints_have_no_alignment():
    true = poses(1, 1)
    true[:, :, 2:] = NAN
    found = Pose3d().metrics(poses(1, 1, seed=3), {"joints": true})
    assert found["PA_MPJPE_mm"].isnan().all()
    assert found["MPJPE_mm"].isfinite().all()


def test_trivial_is_the_mean_pose():
    joints = poses(3, 2)
    joints[0, :, 4] = NAN
    trivial = Pose3d().trivial({"joints": joints})
    assert torch.allclose(trivial[0, 1, 4], joints[1:, 1, 4].mean(0))
    assert torch.allclose(trivial[0, 0, 9], joints[:, 0, 9].mean(0))


def test_the_skeleton_stands_in_the_middle_of_the_picture():
    pose = torch.zeros(1, 25, 3)
    pose[:, 3, 1], pose[:, 20, 1], pose[:, 15, 1] = -0.8, -0.5, 0.9  # y points down: head up, foot down
    picture = Pose3d().picture(pose, np.full((1, 48, 64, 3), 90, np.uint8))
    drawn = (picture[0] != 30).any(-1)  # the frame, dimmed to a third
    rows, columns = drawn.nonzero()
    assert set(columns.tolist()) <= {31, 32}
    assert (rows.min(), rows.max()) == (24 - 16, 24 + 18)  # 20 pixels a metre
    assert len(Pose3d().answer(pose)["metres"][0]) == 25
