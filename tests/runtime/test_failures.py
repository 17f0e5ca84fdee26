"""What is killed goes on, and ends with the very weights of a run that was never killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml

import taskprompt as tp
from taskprompt.recipe.files import validate
from taskprompt.runs import checkpoint

SUPPORT = str(Path(__file__).parents[1] / "support")


def ending(run):
    """Every tensor of a run's newest checkpoint, and the losses of all its steps."""
    groups = ("model", "ema", "balance")
    tensors = {f"{g}/{k}": v for g in groups for k, v in checkpoint.read_tensors(run.checkpoint(), g).items()}
    return tensors, [(r["step"], r["loss"], r["grad_norm"]) for r in run.lines("metrics.jsonl")]


def same(a, b):
    (left, losses), (right, others) = ending(a), ending(b)
    assert losses == others
    assert left.keys() == right.keys()
    assert len(left) > 20
    return all(torch.equal(left[k], right[k]) for k in left)


def test_a_killed_worker_is_replaced_and_nothing_is_lost(cluster, squares, tmp_path):
    squares["runtime"] |= {"workers": 2}
    squares["stages"] = [{"steps": 9, "lr": 1e-3, "ema": 0.9}]
    squares["save_every"] = 2
    task = {"kind": "mortal:Mortal", "label": "depth", "after": 6, "grave": str(tmp_path / "grave")}
    squares["tasks"]["depth"] |= task
    lost = []
    watch = lambda event: lost.append(event) if isinstance(event, tp.events.WorkerLost) else None  # noqa: E731
    killed = tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "killed", cluster="local", watch=watch)
    assert (tmp_path / "grave").exists()
    assert len(lost) == 1
    assert lost[0].left == 3
    assert "a worker or its node was lost" in (killed.path / "log.txt").read_text()
    whole = tp.fit(validate(squares, "r", tp.Recipe), tmp_path / "whole", cluster="local", watch=lambda r: None)
    assert same(killed, whole)


def test_a_killed_driver_leaves_a_run_to_resume(squares, tmp_path):
    squares["stages"] = [{"steps": 400, "lr": 1e-3, "ema": 0.9}]
    squares["save_every"] = 7
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares))
    command = [Path(sys.executable).with_name("taskprompt"), "fit", tmp_path / "r.yaml", "--out", tmp_path / "killed"]
    mine = os.environ | {"PYTHONPATH": SUPPORT}
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=mine)
    end = time.monotonic() + 120
    while checkpoint.latest(tmp_path / "killed" / "checkpoints") is None:
        assert driver.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    recipe = validate(squares, "r", tp.Recipe)
    killed = tp.fit(recipe, tmp_path / "killed", cluster=None, resume=True, watch=lambda r: None)
    assert "resumed step-" in (killed.path / "log.txt").read_text()
    whole = tp.fit(recipe, tmp_path / "whole", cluster=None, watch=lambda r: None)
    assert same(killed, whole)
