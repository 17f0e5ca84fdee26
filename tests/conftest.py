"""Own kinds of the tests are found as a user's would be; torch keeps to one core."""

import copy
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "support"))
torch.set_num_threads(1)


@pytest.fixture
def squares() -> dict:
    """A recipe's dictionary that trains in a second; tests change what they need."""
    from squares import RECIPE

    return copy.deepcopy(RECIPE)
