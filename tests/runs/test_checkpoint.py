"""Checkpoints are complete or absent, and refuse what does not belong to them."""

import errno
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from taskprompt.core.errors import CheckpointError
from taskprompt.runs import checkpoint


def save(folder, step, module, keep=2):
    return checkpoint.save(folder, step, {"model": module.state_dict()}, {"total": step}, keep)


def test_what_is_saved_comes_back_and_old_ones_go(tmp_path):
    module = nn.Linear(3, 2)
    for step in (1, 2, 30):
        last = save(tmp_path, step, module)
    assert [p.name for p in checkpoint.complete(tmp_path)] == ["step-00000002", "step-00000030"]
    other = nn.Linear(3, 2)
    checkpoint.load_weights(other, checkpoint.read_tensors(last, "model"), "x")
    assert torch.equal(other.weight, module.weight)
    assert checkpoint.read_state(last) == {"total": 30, "groups": ["model"]}
    assert checkpoint.latest(tmp_path) == last


def test_another_model_is_refused_by_name_and_shape(tmp_path):
    path = save(tmp_path, 1, nn.Linear(3, 2))
    with pytest.raises(CheckpointError, match=r"weight is \(2, 3\), the model has \(2, 4\)"):
        checkpoint.load_weights(nn.Linear(4, 2), checkpoint.read_tensors(path, "model"), "x")
    with pytest.raises(CheckpointError, match=r"missing 0\.bias"):
        checkpoint.load_weights(nn.Sequential(nn.Linear(3, 2)), checkpoint.read_tensors(path, "model"), "x")


def test_a_damaged_file_is_said(tmp_path):
    path = save(tmp_path, 1, nn.Linear(3, 2))
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.read_tensors(path, "model")


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from taskprompt.runs import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # the kernel refuses the bytes beyond, as a full disk does
checkpoint.save(Path(sys.argv[1]), 2, {"model": {"w": torch.zeros(100_000)}}, {}, 2)
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_the_last_checkpoint_and_no_half_one(tmp_path):
    save(tmp_path, 1, nn.Linear(3, 2))
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "step-00000002: cannot be written" in done.stderr
    assert "continue with `resume=True` from step-00000001" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    assert os.strerror(errno.EFBIG) in done.stderr


def test_a_draft_left_by_a_kill_is_not_a_checkpoint(tmp_path):
    save(tmp_path, 1, nn.Linear(3, 2))
    (tmp_path / ".step-00000002.77").mkdir()
    assert checkpoint.latest(tmp_path) == tmp_path / "step-00000001"


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_optimizer_state_comes_back(kind):
    def trained(module, optimizer, steps):
        for _ in range(steps):
            module(torch.ones(1, 3)).sum().square().backward()
            optimizer.step()
            optimizer.zero_grad()

    def make(module):
        return (
            kind(module.parameters(), 0.1)
            if kind is torch.optim.AdamW
            else kind(module.parameters(), 0.01, momentum=0.9)
        )

    torch.manual_seed(0)
    whole = nn.Linear(3, 2)
    whole_optimizer = make(whole)
    trained(whole, whole_optimizer, 2)
    resumed = nn.Linear(3, 2)
    resumed.load_state_dict(whole.state_dict())
    resumed_optimizer = make(resumed)
    tensors = checkpoint.optimizer_tensors(whole_optimizer, {p: n for n, p in whole.named_parameters()})
    checkpoint.load_optimizer(resumed_optimizer, {p: n for n, p in resumed.named_parameters()}, tensors)
    trained(whole, whole_optimizer, 2)
    trained(resumed, resumed_optimizer, 2)
    assert torch.equal(whole.weight, resumed.weight)
