"""Own kinds of the tests are found as a user's would be; torch keeps to one core."""

import copy
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "support"))
torch.set_num_threads(1)
RAY = ("runtime", "cluster", "labelers")  # folders whose tests start a Ray, and are mostly waiting for it


def pytest_collection_modifyitems(items):
    """What `make test` runs side by side: one process the tests of Ray, which share one, the other file after file."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group("ray" if folder in RAY else str(item.path)))
    items.sort(key=lambda item: item.path.parent.name not in RAY)  # the longest first


@pytest.fixture
def squares() -> dict:
    """A recipe's dictionary that trains in a second; tests change what they need."""
    from squares import RECIPE

    return copy.deepcopy(RECIPE)
