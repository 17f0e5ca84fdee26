"""fixed: the weighted sum, by hand."""

import json

import pytest
import torch

from taskprompt.balancers.fixed import Fixed
from taskprompt.core.balancer import Balancer, LossWeights, TaskGradients
from taskprompt.core.errors import SpecError
from taskprompt.core.spec import kinds


def test_how_many_kinds():
    assert kinds(Balancer) == ["fixed"]


def test_weights_of_the_tasks_with_labels():
    """It asks for nothing that costs anything."""

    def refuse(*_):
        raise AssertionError

    step = TaskGradients({"depth": 3, "action": 1}, {}, {}, torch.Generator(), refuse, refuse)
    balance = Fixed(weights={"depth": 0.5, "pose": 7.0}).build(["action", "depth", "pose"])
    assert balance.step(step) == LossWeights({"depth": 0.5, "action": 1.0})
    assert not list(balance.parameters())


def test_unknown_task():
    with pytest.raises(SpecError, match=r"'depht' is not a task. Did you mean 'depth'\? Known: action, depth"):
        Fixed(weights={"depht": 0.5}).build(["action", "depth"])


def test_null_takes_a_weight_away():
    """So a recipe that takes a task of its base away can take its weight away, too."""
    assert Fixed(weights={"depth": 0.5, "action": None}).weights == {"depth": 0.5}  # type: ignore[dict-item]


def test_round_trip():
    spec = Fixed(weights={"depth": 0.5})
    assert Balancer.model_validate(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec
