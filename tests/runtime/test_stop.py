"""Ctrl-C and SIGTERM, with real processes: one line that says where the run stands, and it goes on from there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

import taskprompt as tp
from taskprompt.runs import checkpoint

STEPS = 400


def fit(recipe: Path, out: Path, cluster: str, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "taskprompt.cli.main", "fit", recipe, "--out", out, "--cluster", cluster, *more]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  # a shell's background job ignores it
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, preexec_fn=heed, cwd=out.parent)


@pytest.mark.parametrize(
    ("cluster", "number", "code"),
    [
        ("none", signal.SIGINT, 130),
        ("none", signal.SIGTERM, 143),
        ("local", signal.SIGINT, 130),
        ("local", signal.SIGTERM, 143),
    ],
)
def test_a_signal_says_where_the_newest_checkpoint_is(squares, tmp_path, cluster, number, code):
    squares |= {"save_every": 5, "keep": 1000, "stages": [{"steps": STEPS, "lr": 1e-3}]}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(squares))
    out = tmp_path / "run"
    job = fit(tmp_path / "r.yaml", out, cluster)
    while not (out / "checkpoints/step-00000005").exists():
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.1)
    job.send_signal(number)
    said = job.communicate(timeout=120)[1].replace("\n", " ")
    newest = checkpoint.latest(out / "checkpoints")
    assert newest is not None
    word = {130: "interrupted", 143: "terminated"}[code]
    assert f"taskprompt: {word} at step " in said
    assert (
        f"the newest checkpoint is {newest}. Resume with: taskprompt fit {out}/recipe.yaml --out {out} --resume" in said
    )
    assert "Traceback" not in said
    assert job.returncode == code
    assert f"{word} at step" in (out / "log.txt").read_text()
    total = checkpoint.read_state(newest)["total"]
    assert total < STEPS
    squares["stages"][0]["steps"] = total  # is all that is there whole?
    run = tp.Run.open(out)
    assert all(t.isfinite().all() for t in run.model().state_dict().values() if torch.is_floating_point(t))
    assert not list((out / "checkpoints").glob(".step-*")) or cluster == "local"
