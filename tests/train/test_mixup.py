"""mixup: pairs of clips with class labels are blended, and so are the losses of their labels; all others stay."""

import pytest
import torch

from taskprompt.core.types import Batch
from taskprompt.recipe.recipe import Recipe
from taskprompt.tasks.action import Action
from taskprompt.tasks.depth import Depth
from taskprompt.train.losses import task_losses
from taskprompt.train.mixup import Mix, mixup

ACTION = Action(classes=tuple("abcdefghij"))
TASKS = {"action": ACTION, "verb": ACTION, "depth": Depth()}


def batch(**rows) -> Batch:
    """Ten clips, each of one brightness; the class of each labelled clip is its number."""
    video = (20 * torch.arange(10)).to(torch.uint8).view(10, 1, 1, 1, 1).expand(10, 2, 4, 4, 3)
    of = {name: torch.tensor(at) for name, at in rows.items()}
    return Batch([str(i) for i in range(10)], video, {n: {"index": at} for n, at in of.items()}, of)


def brightness(found: Batch) -> torch.Tensor:
    assert found.video.dtype == torch.uint8
    assert (found.video == found.video[:, :1, :1, :1, :1]).all()
    return found.video[:, 0, 0, 0, 0].float()


@pytest.mark.parametrize("seed", range(5))
def test_clips_are_blended_as_their_labels_are(seed):
    torch.manual_seed(seed)
    whole = batch(action=[9, 1, 2, 3, 4, 5], verb=[5], depth=[4, 6, 7])
    mixed, mix = mixup(whole, TASKS, 0.8)
    after, own = brightness(mixed), 20 * torch.arange(10.0)
    assert 0 <= mix.share <= 1
    assert (after[[0, 4, 5, 6, 7, 8]] == own[[0, 4, 5, 6, 7, 8]]).all()  # no label, depth too, the one of its kind
    at = whole.rows["action"]
    partner = at[mix.partners["action"]]
    assert sorted(partner.tolist()) == [1, 2, 3, 4, 5, 9]
    assert (after[at] - (mix.share * own[at] + (1 - mix.share) * own[partner])).abs().max() <= 0.5
    assert mix.partners["verb"].tolist() == [0]
    assert brightness(whole).equal(own)


def test_seeds_draw_other_pairs():
    drawn = set()
    for seed in range(8):
        torch.manual_seed(seed)
        drawn.add(tuple(mixup(batch(action=list(range(10))), TASKS, 0.8)[1].partners["action"].tolist()))
    assert len(drawn) == 8


def test_losses_are_blended():
    whole = batch(action=[2, 5, 7])
    logits = torch.randn(3, 10)
    mix = Mix(0.7, {"action": torch.tensor([1, 2, 0])})
    found = task_losses({"action": ACTION}, {"action": logits}, whole, {"action": 3}, mix=mix)["action"]
    soft = torch.zeros(3, 10)
    for i, (own, other) in enumerate([(2, 5), (5, 7), (7, 2)]):
        soft[i, own] += 0.7
        soft[i, other] += 0.3
    wanted = torch.nn.functional.cross_entropy(logits, soft)
    assert (found.share - wanted).abs() < 1e-6


def test_a_stage_without_classes_cannot_mix(squares):
    with pytest.raises(ValueError, match=r"stages.0.mixup: found 0.8, but no task here mixes"):
        Recipe.model_validate(squares | {"stages": [{"steps": 1, "mixup": 0.8, "tasks": ["depth"]}]})
