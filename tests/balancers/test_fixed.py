"""fixed: the weighted sum, by hand."""

import json

import pytest
import torch

from taskprompt.balancers.fixed import Fixed
from taskprompt.core.balancer import Balancer
from taskprompt.core.errors import SpecError
from taskprompt.core.spec import kinds


def test_how_many_kinds():
    assert kinds(Balancer) == ["fixed"]


def test_total_and_gradient():
    """0.5 x 3 a + b at a = 2, b = 5: total 8, slopes 1.5 and 1."""
    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(5.0, requires_grad=True)
    total = Fixed(weights={"depth": 0.5}).build(["action", "depth"]).backward({"depth": 3 * a, "action": b}, [])
    assert total == 8
    assert not total.requires_grad
    assert a.grad == 1.5
    assert b.grad == 1


def test_gradients_add_up():
    a = torch.tensor(1.0, requires_grad=True)
    balance = Fixed().build(["action"])
    for _ in range(2):
        balance.backward({"action": 4 * a}, [a])
    assert a.grad == 8


def test_unknown_task():
    with pytest.raises(SpecError, match=r"'depht' is not a task. Did you mean 'depth'\? Known: action, depth"):
        Fixed(weights={"depht": 0.5}).build(["action", "depth"])


def test_null_takes_a_weight_away():
    """So a recipe that takes a task of its base away can take its weight away, too."""
    assert Fixed(weights={"depth": 0.5, "action": None}).weights == {"depth": 0.5}  # type: ignore[dict-item]


def test_round_trip():
    spec = Fixed(weights={"depth": 0.5})
    assert Balancer.model_validate(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec
