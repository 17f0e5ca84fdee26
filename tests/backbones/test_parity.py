"""Every backbone gives what its reference gives, on random clips. The figures: `python tests/support/parity.py`."""

import pytest
import torch
from parity import ROWS

from taskprompt.core.model import Backbone
from taskprompt.core.spec import kinds


@pytest.mark.parametrize("name", ROWS)
@torch.no_grad()
def test_outputs_are_those_of_the_reference(name):
    assert ROWS[name][1]() < 1e-5


def test_every_kind_has_a_reference():
    """But tiny, which is our own."""
    assert {name.partition(",")[0] for name in ROWS} == set(kinds(Backbone)) - {"tiny"}
