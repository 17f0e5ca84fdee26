"""Own kinds of the tests are found as a user's would be; torch keeps to one core."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "support"))
torch.set_num_threads(1)

SQUARES = {
    "clip": {"frames": 4, "height": 32, "width": 32, "fps": 8},
    "sources": {
        "labelled": {"kind": "squares:Squares", "quota": 4, "only": ["action"]},
        "rendered": {"kind": "squares:Squares", "quota": 2, "only": ["depth"], "clips": 10},
    },
    "held_out": {"test": {"kind": "squares:Squares", "clips": 6}},
    "backbone": {"kind": "tiny", "dim": 32, "depth": 2, "heads": 2},
    "prompter": {"kind": "tokens"},
    "tasks": {
        "action": {"kind": "action", "classes": ["left", "right"]},
        "depth": {"kind": "depth", "height": 8, "width": 8},
    },
    "stages": [{"steps": 6, "lr": 1e-3}],
    "runtime": {"precision": "fp32"},
}


@pytest.fixture
def squares() -> dict:
    """A recipe's dictionary that trains in a second; tests change what they need."""
    import copy

    return copy.deepcopy(SQUARES)
